//! Events that could not be applied, kept in the stream `<stream>:dead` for people to inspect.
//!
//! A letter has the fields `reason`, `id` (of the event), `group` and `deliveries`, and the fields of the
//! event, with the prefix `f:`. **Each letter stands for a change that was not applied**: answers from what
//! changed may be stale until they expire. Monitor the length of the stream.

use redis::Cmd;
use serde::Serialize;

use super::source::{Connection, Source, failed};
use super::wire::{self, Entry};
use crate::error::{Error, ErrorKind, Result};

/// The prefix of the event's fields.
const FIELD: &str = "f:";
/// How many letters are read at a time.
const PAGE: usize = 100;

/// The dead letters of a stream. Made by [`StreamEvents::dead_letters`](super::StreamEvents::dead_letters).
#[derive(Debug, Clone)]
pub struct DeadLetters {
    source: Source,
    stream: String,
}

/// An event that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The letter's id.
    pub id: String,
    /// The event's id in its stream.
    pub event: String,
    /// What is wrong with it.
    pub reason: String,
    /// The group whose member gave it up.
    pub group: String,
    /// How often it was delivered to members of the group.
    pub deliveries: u64,
    /// The event's fields, with invalid UTF-8 replaced. A replay has the original bytes.
    pub fields: Vec<(String, String)>,
}

/// A letter that is to be written.
pub(super) struct Letter<'a> {
    pub(super) reason: &'a str,
    pub(super) event: &'a str,
    pub(super) group: &'a str,
    pub(super) deliveries: u64,
    pub(super) fields: &'a [(Vec<u8>, Vec<u8>)],
}

impl Letter<'_> {
    pub(super) fn add_to(&self, stream: &str, limit: u64) -> Cmd {
        let mut add = redis::cmd("XADD");
        add.arg(dead(stream)).arg("MAXLEN").arg("~").arg(limit).arg("*");
        add.arg("reason").arg(self.reason).arg("id").arg(self.event);
        add.arg("group").arg(self.group).arg("deliveries").arg(self.deliveries);
        for (name, value) in self.fields {
            add.arg([FIELD.as_bytes(), name].concat()).arg(value.as_slice());
        }
        add
    }
}

impl DeadLetters {
    pub(super) fn of(source: Source, stream: String) -> Self {
        Self { source, stream }
    }

    /// Up to `limit` letters that follow the one with the id `after`, oldest first.
    ///
    /// # Errors
    ///
    /// `Config` for an address that is not valid, `Unavailable` if the server cannot be used.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<DeadLetter>> {
        let mut open = self.open().await?;
        let letters = open.page(after, "+", limit).await?;
        Ok(letters.into_iter().map(DeadLetter::from).collect())
    }

    /// Puts events back into the stream and removes their letters: those with these `ids`, or else all that
    /// there are now. Returns how many. Every group reads the events again.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list). Events that were put back before the error stay in the stream.
    ///
    /// # Cancel safety
    ///
    /// If dropped, only some are put back. One may be both in the stream and among the letters.
    pub async fn replay(&self, ids: Option<&[String]>) -> Result<u64> {
        self.open().await?.each(ids, true).await
    }

    /// Removes letters: those with these `ids`, or else all that there are now. Returns how many.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    ///
    /// # Cancel safety
    ///
    /// If dropped, only some are removed.
    pub async fn discard(&self, ids: Option<&[String]>) -> Result<u64> {
        self.open().await?.each(ids, false).await
    }

    async fn open(&self) -> Result<Open<'_>> {
        let server = self.source.open()?;
        let connection = server.connect().await.map_err(|error| failed(&server.name, &error))?;
        Ok(Open { connection, server: server.name, stream: &self.stream })
    }
}

/// Dead letters with a connection to them.
struct Open<'a> {
    connection: Connection,
    server: String,
    stream: &'a str,
}

impl Open<'_> {
    async fn send(&mut self, command: &Cmd) -> Result<redis::Value> {
        self.connection.send(command).await.map_err(|error| failed(&self.server, &error))
    }

    async fn page(&mut self, after: Option<&str>, until: &str, limit: usize) -> Result<Vec<Entry>> {
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut range = redis::cmd("XRANGE");
        range.arg(dead(self.stream)).arg(from).arg(until).arg("COUNT").arg(limit);
        Ok(wire::entries(&self.send(&range).await?))
    }

    async fn each(&mut self, ids: Option<&[String]>, replays: bool) -> Result<u64> {
        let mut count = 0;
        if let Some(ids) = ids {
            for id in ids {
                let mut range = redis::cmd("XRANGE");
                range.arg(dead(self.stream)).arg(id).arg(id);
                let letters = wire::entries(&self.send(&range).await?);
                if letters.is_empty() {
                    return Err(Error::new(ErrorKind::InvalidInput, format!("no dead letter {id}")));
                }
                count += self.remove(letters, replays).await?;
            }
            return Ok(count);
        }
        // An event that fails again meanwhile becomes a new letter, which is not replayed: otherwise this
        // could go on for ever.
        let mut last = redis::cmd("XREVRANGE");
        last.arg(dead(self.stream)).arg("+").arg("-").arg("COUNT").arg(1);
        let Some(last) = wire::entries(&self.send(&last).await?).pop() else { return Ok(0) };
        loop {
            let letters = self.page(None, &last.id, PAGE).await?;
            if letters.is_empty() {
                return Ok(count);
            }
            count += self.remove(letters, replays).await?;
        }
    }

    async fn remove(&mut self, letters: Vec<Entry>, replays: bool) -> Result<u64> {
        let mut count = 0;
        for letter in letters {
            if replays {
                let mut add = redis::cmd("XADD");
                add.arg(self.stream).arg("*");
                for (name, value) in own_fields(&letter) {
                    add.arg(name).arg(value);
                }
                self.send(&add).await?;
            }
            let mut delete = redis::cmd("XDEL");
            self.send(delete.arg(dead(self.stream)).arg(&letter.id)).await?;
            count += 1;
        }
        Ok(count)
    }
}

impl From<Entry> for DeadLetter {
    fn from(entry: Entry) -> Self {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let field = |name: &str| {
            let fields = entry.fields.iter().flatten();
            fields.clone().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| lossy(value))
        };
        Self {
            event: field("id").unwrap_or_default(),
            reason: field("reason").unwrap_or_default(),
            group: field("group").unwrap_or_default(),
            deliveries: field("deliveries").and_then(|count| count.parse().ok()).unwrap_or(0),
            fields: own_fields(&entry).map(|(name, value)| (lossy(name), lossy(value))).collect(),
            id: entry.id,
        }
    }
}

/// The fields of the event in a letter.
fn own_fields(letter: &Entry) -> impl Iterator<Item = (&[u8], &[u8])> {
    let fields = letter.fields.iter().flatten();
    fields.filter_map(|(name, value)| Some((name.strip_prefix(FIELD.as_bytes())?, value.as_slice())))
}

fn dead(stream: &str) -> String {
    format!("{stream}:dead")
}
