//! Connections to servers: every kind of address, encryption, users and their permissions, and error messages.

mod addresses;
mod least_privilege;
mod recommended_settings;
mod sentinels;
mod slow;
mod tls;
