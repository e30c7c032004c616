//! The promises of the store on disk in addition to the conformance suite: it survives restarts, kills, other
//! openers, damage and a full disk.

mod crash;
mod damage;
mod disk_full;
mod earlier;
mod foreign;
mod pages;
mod reopen;
