//! Which listener a request came in through.

/// The listener that a request came in through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// The proxy's listener.
    Public,
    /// The listener of administration and ingestion.
    Admin,
    /// The listener of webhooks alone.
    Webhooks,
}
