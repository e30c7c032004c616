//! The `wellspring` command, and the configuration that it is given.
//!
//! [`run`] is the whole command. Programs that are configured as it is begin at [`config::Config::load`], and open the
//! store, the models and the cache from what it returns.
//!
//! A module uses only those above its own: [`config`], then `commands`.

mod commands;
pub mod config;

pub use self::commands::run;
