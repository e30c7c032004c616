//! Real servers for tests: alone, replicated, watched by sentinels, as a cluster, behind a bad network.
//!
//! Everything here is a process of the installed Valkey or Redis (`make servers` provides one), on its own
//! port of the loopback interface and in its own folder. It is ready when its constructor returns, and it
//! ends when its value is dropped or when the test process ends, however that ends. Tests share nothing
//! unless they share a value. Methods that wait, wait for the state itself, never for a fixed time, and panic
//! if that takes two minutes.
//!
//! The methods block their thread; in an asynchronous test, they also block the tasks on it.

mod builder;
mod cluster;
mod flavour;
mod migration;
mod port;
mod process;
mod proxy;
mod replication;
mod saved;
mod sentinels;
mod server;
mod tls;
mod wait;

pub use builder::ServerBuilder;
pub use cluster::{Cluster, Failover};
pub use flavour::Flavour;
pub use migration::Migration;
pub use proxy::Proxy;
pub use replication::ReplicaPair;
pub use saved::SavedFiles;
pub use sentinels::Sentinels;
pub use server::Server;
pub use tls::Tls;
pub use wait::until;
