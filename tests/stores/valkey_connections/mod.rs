//! The ways to the servers: every kind of address, encryption, users and what they may do, and what errors say.

mod addresses;
mod least_privilege;
mod recommended_settings;
mod sentinels;
mod slow;
mod tls;
