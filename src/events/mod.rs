//! Learning from other systems which documents changed.
//!
//! [`DocumentEvents::stream`] reads a stream on a Valkey or Redis server as a member of a consumer group. An
//! event is acknowledged only after [`Cache::invalidate`](crate::Cache::invalidate) returned, so each is
//! applied **at least once**. If the process that read an event dies, another one claims the event. If an
//! invalidation is incomplete, it is tried again. If an event can never be applied, it goes to the dead
//! letters, with the reason. Applying an event twice or in another order only ends answers that need not have
//! ended.
//!
//! [`DocumentEvents::channel`] listens to a pub/sub channel, which does not keep messages that no one
//! received: **at most once**.
//!
//! # What was missed
//!
//! Lost events would leave stale answers, so a reader that cannot rule out a loss invalidates everything (but
//! see [`OnGap`]). For a stream, that is the case when its group is new or was lost, when events were removed
//! from it before the group had read them, and when its server was restarted or replaced by a replica, which
//! may not have had the last events. For a channel, it is the case at every subscription.
//!
//! It is not promised that an event is applied at once. The old answer is still served in the time from a
//! change to its event, and from the event to its invalidation. A hook that calls
//! [`Cache::invalidate`](crate::Cache::invalidate) itself has no such delay.
//!
//! # The format
//!
//! See [`Event`].

mod apply;
mod channel;
mod dead_letters;
mod event;
mod report;
mod source;
mod stream;
mod wire;

pub use self::channel::ChannelEvents;
pub use self::dead_letters::{DeadLetter, DeadLetters};
pub use self::event::Event;
pub use self::report::{GapReason, Report};
pub use self::stream::StreamEvents;

/// Where events come from.
#[derive(Debug)]
pub struct DocumentEvents;

impl DocumentEvents {
    /// The events of `stream` on the server at `address` (see [`ValkeyAddress`](crate::store::ValkeyAddress);
    /// not a cluster), shared by all who read as members of `group`. `consumer` distinguishes the members: it
    /// should be the same when a process starts again, which then continues with the events that it left.
    pub fn stream(
        address: impl Into<String>,
        stream: impl Into<String>,
        group: impl Into<String>,
        consumer: impl Into<String>,
    ) -> StreamEvents {
        StreamEvents::new(address.into(), stream.into(), group.into(), consumer.into())
    }

    /// The messages on `channel` of the server at `address` (not a cluster), each an event in JSON. Every
    /// listener receives all of them, so one listener is enough for all processes that share a store.
    pub fn channel(address: impl Into<String>, channel: impl Into<String>) -> ChannelEvents {
        ChannelEvents::new(address.into(), channel.into())
    }
}

/// What to do when events may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnGap {
    /// Invalidate everything in every corpus that the store knows, in the default one, and in those that
    /// events named.
    #[default]
    InvalidateEverything,
    /// Only report it. **Answers whose change was missed are then served until their time to live is over.**
    Report,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: T) {}

    #[tokio::test]
    async fn reading_can_be_spawned() {
        let store = crate::store::MemoryStore::new(crate::store::Limits::default());
        let stream = DocumentEvents::stream("valkey://localhost:1", "s", "g", "c");
        is_send(stream.run_on_store(&store, std::future::ready(())));
        let channel = DocumentEvents::channel("valkey://localhost:1", "c");
        is_send(channel.run_on_store(&store, std::future::ready(())));
        for wrong in [
            DocumentEvents::stream("valkey-cluster://localhost:1", "s", "g", "c"),
            DocumentEvents::stream("localhost", "s", "g", "c"),
            stream.clone().batch(0),
            DocumentEvents::stream("valkey://localhost:1", "", "g", "c"),
        ] {
            let error = wrong.run_on_store(&store, std::future::pending()).await.unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config, "{error}");
        }
        stream.run_on_store(&store, std::future::ready(())).await.unwrap();
    }
}
