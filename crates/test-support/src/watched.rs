//! A store that records what indexes read from it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Notify;
use wellspring::{EntryId, Error, ErrorKind, Result, Store};

use crate::intercepted::{Intercept, Intercepted};

/// A store that counts the embeddings that are read from it, and can delay them or fail to list any.
pub type WatchedStore = Intercepted<Watched>;

#[derive(Debug, Default)]
pub struct Watched {
    pub read: AtomicUsize,
    pub lists_nothing: AtomicBool,
    /// A call that reads the embedding of one of these entries, even together with others, reads it at once
    /// but returns it only after the release.
    held: Mutex<HashSet<EntryId>>,
    released: Notify,
}

impl WatchedStore {
    pub fn new(inner: impl Store + 'static) -> Arc<Self> {
        Self::around(inner, Watched::default())
    }
}

impl Watched {
    /// How many embeddings were read since the last call.
    pub fn reads(&self) -> usize {
        self.read.swap(0, Ordering::SeqCst)
    }

    pub fn hold(&self, id: EntryId) {
        self.held.lock().unwrap().insert(id);
    }

    pub fn release(&self) {
        self.held.lock().unwrap().clear();
        self.released.notify_waiters();
    }
}

#[async_trait]
impl Intercept for Watched {
    fn before_page(&self) -> Result<()> {
        if self.lists_nothing.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Store, "the store lists nothing"));
        }
        Ok(())
    }

    async fn after_embeddings(&self, ids: &[EntryId]) {
        self.read.fetch_add(ids.len(), Ordering::SeqCst);
        loop {
            let released = self.released.notified();
            if ids.iter().all(|id| !self.held.lock().unwrap().contains(id)) {
                return;
            }
            released.await;
        }
    }
}
