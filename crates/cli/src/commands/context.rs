//! What every command is given: the configuration, and whether to print JSON.

use std::sync::Arc;

use owo_colors::OwoColorize as _;
use wellspring::clock::{Clock as _, SystemClock, Timestamp};
use wellspring::error::{Error, ErrorKind};
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
    /// Tells the warnings of the configuration.
    pub(crate) fn new(loaded: Loaded, sources: Sources, json: bool) -> Self {
        for warning in &loaded.warnings {
            output::note(format_args!("{} {warning}", "warning:".yellow().bold()));
        }
        Self { config: loaded.config, origins: loaded.origins, json, sources }
    }

    /// The store alone, for commands that need no model: they work without one, and sooner.
    pub(crate) async fn store(&self) -> wellspring::Result<Arc<dyn Store>> {
        self.config.open_store(Opening::Existing).await
    }

    /// The time that ages are told by.
    pub(crate) fn now() -> Timestamp {
        SystemClock.now()
    }
}

/// An error of whoever called the program.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}
