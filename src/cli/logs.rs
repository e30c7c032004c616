//! What `wellspring serve` logs: lines for people, or JSON with `--json`, on the standard error stream.
//!
//! `RUST_LOG` says how much (`wellspring=debug,warn`). Nothing that is logged holds a question, an answer or a key.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Logs from now on, at the level of information unless `RUST_LOG` says otherwise.
pub(super) fn start(json: bool) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env()?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        lines.json().flatten_event(true).finish().try_init()?;
    } else {
        lines.finish().try_init()?;
    }
    Ok(())
}
