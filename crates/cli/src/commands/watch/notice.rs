//! What may have changed according to the system, once it has been left alone for a while.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use wellspring::error::{Error, ErrorKind, Result};

/// More paths than this count as all paths.
const MOST_PATHS: usize = 10_000;
/// A folder that is never left alone is read anyway after this many times the debounce.
const MOST_DEBOUNCES: u32 = 10;

/// What may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Noticed {
    Everything,
    Paths(BTreeSet<PathBuf>),
}

impl Default for Noticed {
    fn default() -> Self {
        Self::Paths(BTreeSet::new())
    }
}

impl Noticed {
    fn add(&mut self, event: notify::Result<notify::Event>) {
        match event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            Ok(event) if !event.need_rescan() => {
                if let Self::Paths(paths) = self {
                    paths.extend(event.paths);
                    if paths.len() > MOST_PATHS {
                        *self = Self::Everything;
                    }
                }
            }
            // Something was lost.
            Ok(_) | Err(_) => *self = Self::Everything,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Paths(paths) if paths.is_empty())
    }
}

/// Notices of a folder; dropping it ends them.
#[derive(Debug)]
pub(super) struct Notices {
    noticed: Arc<(Mutex<Noticed>, Notify)>,
    debounce: Duration,
    rescan: Duration,
    _watcher: RecommendedWatcher,
}

impl Notices {
    pub(super) fn of(folder: &Path, debounce: Duration, rescan: Duration) -> Result<Self> {
        let noticed = Arc::new((Mutex::new(Noticed::default()), Notify::new()));
        let sink = Arc::clone(&noticed);
        let failed = |error: notify::Error| {
            let message = format!("the folder {} cannot be watched", folder.display());
            Error::new(ErrorKind::Unavailable, message).with_source(error)
        };
        let hear = move |event| {
            sink.0.lock().unwrap_or_else(PoisonError::into_inner).add(event);
            sink.1.notify_one();
        };
        let config = notify::Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(hear, config).map_err(failed)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(failed)?;
        Ok(Self { noticed, debounce, rescan, _watcher: watcher })
    }

    /// Waits until something may have changed and was then left alone, or until all files are due to be read
    /// again.
    pub(super) async fn next(&mut self) -> Noticed {
        let rescan = async {
            if self.rescan.is_zero() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(self.rescan).await;
        };
        let settled = async {
            while self.is_empty() {
                self.noticed.1.notified().await;
            }
            let last = Instant::now() + self.debounce * MOST_DEBOUNCES;
            // Each notice restarts the wait.
            while Instant::now() < last
                && tokio::time::timeout(self.debounce, self.noticed.1.notified()).await.is_ok()
            {}
        };
        tokio::select! {
            () = rescan => {
                *self.lock() = Noticed::default();
                Noticed::Everything
            }
            () = settled => std::mem::take(&mut *self.lock()),
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Noticed> {
        self.noticed.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
