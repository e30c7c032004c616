//! What every command is given: the configuration, and whether to print JSON.

use std::sync::Arc;

use owo_colors::OwoColorize as _;
use wellspring::clock::{Clock as _, SystemClock, Timestamp};
use wellspring::store::Store;

use crate::commands::output;
use crate::config::{Config, Loaded, Opening, Origin, Sources};

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) origins: Vec<(&'static str, Origin)>,
    pub(crate) json: bool,
    /// What the configuration was read from.
    pub(crate) sources: Sources,
}

impl Context {
    /// Prints the warnings of the configuration.
    pub(crate) fn new(loaded: Loaded, sources: Sources, json: bool) -> Self {
        for warning in &loaded.warnings {
            output::note(format_args!("{} {warning}", "warning:".yellow().bold()));
        }
        Self { config: loaded.config, origins: loaded.origins, json, sources }
    }

    /// Opens only the store, for commands that need no model: they work without one, and start sooner.
    pub(crate) async fn store(&self) -> wellspring::Result<Arc<dyn Store>> {
        self.config.open_store(Opening::Existing).await
    }

    /// The time from which ages are computed.
    pub(crate) fn now() -> Timestamp {
        SystemClock.now()
    }
}
