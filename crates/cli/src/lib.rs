//! The `wellspring` command, and the configuration that it is given.
//!
//! [`run`] is the whole command. Programs with the same configuration start with [`config::Config::load`],
//! and open the store, the models and the cache from what it returns.
//!
//! A module uses only the modules before it in this list: [`config`], then `commands`.

mod commands;
pub mod config;

pub use self::commands::run;
