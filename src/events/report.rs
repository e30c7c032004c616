//! What a reader of events reports about its work.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// Something that a reader of events did or encountered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "report", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Report {
    /// Events are being read from this server.
    Connected {
        /// Its address, without a password.
        server: String,
    },
    /// There is no connection; another attempt follows automatically.
    Disconnected {
        /// Its address, without a password.
        server: String,
        /// Why.
        why: String,
    },
    /// An event is in force.
    Applied {
        /// Its id in the stream; none on a channel.
        id: Option<String>,
        /// How many answers it ended.
        dropped: u64,
    },
    /// An event was put among the dead letters.
    DeadLettered {
        /// Its id in the stream.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A message on a channel was ignored.
    Ignored {
        /// What is wrong with it.
        reason: String,
    },
    /// Events cannot be applied at the moment; the reader tries again until they are.
    Waiting {
        /// Why.
        why: String,
    },
    /// Events may have been missed. If the reader is set to invalidate everything, that invalidation is in
    /// force.
    Gap {
        /// Why that is possible.
        reason: GapReason,
        /// How many answers were ended because of it.
        dropped: u64,
    },
}

/// Why events may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GapReason {
    /// The group was just created: this is the first start, or the group was lost together with its state.
    NewGroup,
    /// Events were removed from the stream before they were read.
    Trimmed,
    /// The server was restarted or replaced, and may not have what it had before.
    OtherServer,
    /// A channel was just subscribed to, for the first time or again.
    Subscribed,
    /// Messages on a channel came faster than they could be applied.
    Overrun,
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewGroup => "the group is new",
            Self::Trimmed => "events were removed before they were read",
            Self::OtherServer => "the server was restarted or replaced",
            Self::Subscribed => "earlier messages may have been missed",
            Self::Overrun => "messages came too quickly",
        })
    }
}

/// Receives the reports.
#[derive(Clone, Default)]
pub(super) struct Observer(Option<Arc<Notify>>);

type Notify = dyn Fn(&Report) + Send + Sync;

impl Observer {
    pub(super) fn new(notify: impl Fn(&Report) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(notify)))
    }

    pub(super) fn notify(&self, report: &Report) {
        match report {
            Report::Applied { .. } => tracing::debug!(?report, "events"),
            Report::Connected { .. } => tracing::info!(?report, "events"),
            _ => tracing::warn!(?report, "events"),
        }
        if let Some(notify) = &self.0 {
            notify(report);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}
