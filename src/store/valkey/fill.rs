//! Storing an entry, unless its clock is against it.

use super::script::{ADMIT, Call, FILL};
use super::tier::FillName;
use super::{Inner, record, reply};
use crate::entry::{Entry, any_change_of};
use crate::error::{Error, Result};
use crate::store::{Filled, ReadVersion, RefusedReason};

/// The largest entry. A larger one would hold up every command that comes after it.
const MAX_ENTRY_BYTES: usize = 8 << 20;

impl Inner {
    pub(super) async fn fill(&self, read_version: ReadVersion, entry: &Entry) -> Result<Filled> {
        let dependencies = entry.check()?;
        if entry.size() > MAX_ENTRY_BYTES {
            let message = format!("answer takes {} bytes, the limit is {MAX_ENTRY_BYTES}", entry.size());
            return Err(Error::invalid(message));
        }
        self.check_open()?;
        let bucket = self.keys.bucket(&entry.corpus, entry.id);
        // The clock of such a bucket does not know of the pending change, so it would not refuse an answer
        // from before it, and other processes could be served that answer until the change arrives.
        self.check_bucket(bucket)?;
        let mut names = vec![self.keys.clock(bucket), self.keys.entry(bucket, entry.id)];
        names.extend([self.keys.all(bucket), self.keys.scope(bucket, entry.scope)]);
        names.extend(entry.listed_ids().into_iter().map(|name| self.keys.dependants(bucket, name)));
        let packed: Vec<u8> = dependencies.iter().flat_map(|name| *name.as_bytes()).collect();
        let ttl = entry.expires_at.saturating_since(self.options.clock.now()).as_millis().max(1);
        let call = FILL.call(&names).nonce().read_version(read_version).number(ttl);
        let call = call.bytes(&packed).bytes(entry.id.as_bytes()).versions_read(entry);
        let call = call.bytes("u").owned(rand::random::<FillName>());
        let fields = record::fields(entry)?;
        let call = fields.iter().fold(call, |call, (name, value)| call.bytes(*name).bytes(value));
        self.link.pace().cost(entry.recompute);
        let reply = self.link.call(&call, &names[0], self.command_limit()).await?;
        let refused = match reply::text(&reply) {
            Some("stored") => {
                self.stored(entry);
                return Ok(Filled::Stored);
            }
            Some("held") => RefusedReason::Held,
            Some("invalidated") => RefusedReason::DependencyChanged,
            Some("clock") => RefusedReason::ClockLost,
            Some("version") => RefusedReason::VersionMismatch,
            _ => return Err(reply::unexpected("a fill")),
        };
        Ok(Filled::Refused(refused))
    }

    pub(super) async fn would_take(&self, read_version: ReadVersion, entry: &Entry) -> Result<bool> {
        let dependencies = entry.check()?;
        self.check_open()?;
        let bucket = self.keys.bucket(&entry.corpus, entry.id);
        self.check_bucket(bucket)?;
        let names = [self.keys.clock(bucket)];
        let packed: Vec<u8> = dependencies.iter().flat_map(|name| *name.as_bytes()).collect();
        let call = ADMIT.call(&names).nonce().read_version(read_version).bytes(&packed).versions_read(entry);
        let reply = self.link.call(&call, &names[0], self.command_limit()).await?;
        Ok(reply::text(&reply) == Some("taken"))
    }
}

impl<'a> Call<'a> {
    fn read_version(self, read_version: ReadVersion) -> Self {
        self.owned(read_version.incarnation.to_be_bytes()).number(read_version.sequence)
    }

    /// Adds the documents that were read in a known version: how many there are, and each with its version.
    fn versions_read(self, entry: &'a Entry) -> Self {
        let known = entry.documents().filter_map(|(document, version)| Some((document, version?)));
        let read: Vec<_> = known.collect();
        let call = self.number(read.len());
        read.into_iter().fold(call, |call, (document, version)| {
            call.owned(*any_change_of(document).as_bytes()).bytes(version.as_str())
        })
    }
}
