//! The gateway's interfaces for pipelines and for programs that change documents, over real sockets and real stores.

mod cache_api;
mod changes;
mod pending;
mod putting;
mod webhooks;

use crate::running::start_on_disk as start;
