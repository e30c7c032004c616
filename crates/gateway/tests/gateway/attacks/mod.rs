//! Attempts of callers to harm others, against the gateway on real sockets: none may succeed.

mod bodies;
mod confirmations;
mod connections;
mod deliveries;
mod floods;
mod identity;
mod ids;
mod paths;
mod sharing;
mod strangers;
mod trust;
mod writers;

use crate::running::raw;
