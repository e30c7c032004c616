//! What the store on disk promises beyond the conformance suite: it survives restarts, kills, other
//! openers, damage and a full disk.

mod crash;
mod damage;
mod disk_full;
mod foreign;
mod pages;
mod reopen;
