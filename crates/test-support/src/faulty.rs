//! Stores with a fault: broken stores, and stores that leave out a part of the freshness protocol.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use wellspring::store::{Fetched, Filled, Found, ReadVersion};
use wellspring::{Entry, EntryId, Error, ErrorKind, Result, Store};

use crate::intercepted::{Intercept, Intercepted};

/// What a [`FaultyStore`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Works correctly until it is [broken](Faulty::broken); then every call fails.
    Breaks,
    /// Fills are stored whatever changed since their read version. This is the cookbook's way of deleting the
    /// dependants, which does not notice a fill that comes later.
    NoFence,
    /// Entries are served without asking the clock.
    NoReadCheck,
}

/// A store with a fault.
pub type FaultyStore = Intercepted<Faulty>;

#[derive(Debug)]
pub struct Faulty {
    fault: Fault,
    pub broken: AtomicBool,
    /// Entries that are served without the read check.
    kept: Mutex<HashMap<EntryId, Arc<Entry>>>,
}

impl FaultyStore {
    pub fn new(fault: Fault, inner: impl Store + 'static) -> Arc<Self> {
        Self::around(inner, Faulty { fault, broken: AtomicBool::new(false), kept: Mutex::default() })
    }
}

#[async_trait]
impl Intercept for Faulty {
    fn before(&self) -> Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Store, "the store is broken"));
        }
        Ok(())
    }

    async fn before_fill(
        &self,
        store: &dyn Store,
        read_version: ReadVersion,
        entry: &Entry,
    ) -> Result<ReadVersion> {
        match self.fault {
            Fault::NoFence => Ok(store.lookup(&entry.corpus, entry.id).await?.read_version),
            Fault::Breaks | Fault::NoReadCheck => Ok(read_version),
        }
    }

    fn after_fill(&self, entry: Arc<Entry>, filled: Filled) {
        if filled == Filled::Stored && self.fault == Fault::NoReadCheck {
            self.kept.lock().unwrap().insert(entry.id, entry);
        }
    }

    fn after_lookup(&self, id: EntryId, mut fetched: Fetched) -> Fetched {
        if let Some(entry) = self.kept.lock().unwrap().get(&id) {
            fetched.found = Found::Live(Arc::clone(entry));
        }
        fetched
    }
}
