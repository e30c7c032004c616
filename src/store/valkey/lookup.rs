//! Finding an entry and asking its clock, in one round trip; and the claim that may go with it.

use std::sync::Arc;

use redis::Value;

use super::claims::UnconfirmedClaim;
use super::script::LOOKUP;
use super::tier::FillName;
use super::{Inner, record, reply};
use crate::entry::Entry;
use crate::error::Result;
use crate::key::{Corpus, EntryId};
use crate::store::{Claim, ClaimToken, DeadReason, Fetched, Found, ReadVersion};

impl Inner {
    pub(super) async fn find(
        self: &Arc<Self>,
        corpus: &Corpus,
        id: EntryId,
        token: Option<ClaimToken>,
    ) -> Result<(Fetched, Claim)> {
        self.check_open()?;
        if !self.checked.initialized() {
            self.check_layout(&self.link, self.command_limit()).await?;
        }
        let bucket = self.keys.bucket(corpus, id);
        // Asked before the server is. A change that becomes pending after this had not returned when the
        // lookup began, so nothing was promised about it yet.
        self.check_bucket(bucket)?;
        let copy = self.tier.get(id);
        if let Some(copy) = copy.as_ref().filter(|copy| self.tier.is_trusted(copy)) {
            let found = self.alive(Arc::clone(&copy.entry));
            return Ok((Fetched { read_version: copy.validated, found }, Claim::Free));
        }
        let distrusts = self.tier.distrusts();
        let have = copy.as_ref().map_or([].as_slice(), |copy| &copy.fill);
        let names = [self.keys.clock(bucket), self.keys.entry(bucket, id), self.keys.claim(bucket, id)];
        let call = LOOKUP
            .call(&names)
            .nonce()
            .bytes(have)
            .owned(token.map(|token| token.to_bytes().to_vec()).unwrap_or_default())
            .number(self.options.claim_life.as_millis());
        let unconfirmed = token.map(|token| UnconfirmedClaim::new(self, corpus, id, token));
        let reply = self.link.call(&call, &names[0], self.command_limit()).await;
        if let Some(unconfirmed) = unconfirmed {
            unconfirmed.heard(&reply);
        }
        let reply = reply?;
        let (what, read_version, rest) = parse_lookup(&reply).ok_or_else(|| reply::unexpected("a lookup"))?;
        let found = match (what, &copy) {
            ("same", Some(copy)) => {
                self.tier.keep(Arc::clone(&copy.entry), copy.fill, read_version, distrusts);
                self.alive(Arc::clone(&copy.entry))
            }
            ("live", _) => {
                if let Some((entry, fill)) = parse_live(corpus, id, rest) {
                    let entry = Arc::new(entry);
                    self.tier.keep(Arc::clone(&entry), fill, read_version, distrusts);
                    self.alive(entry)
                } else {
                    tracing::warn!(%id, "an entry on the server is damaged or foreign");
                    Found::Absent
                }
            }
            ("held", _) => Found::Dead(DeadReason::Held),
            ("invalidated", _) => Found::Dead(DeadReason::Invalidated),
            ("clock", _) => Found::Dead(DeadReason::ClockLost),
            _ => Found::Absent,
        };
        // A copy would be offered to the server again at every lookup, and could never be confirmed: each
        // fill has a name of its own.
        if !matches!(found, Found::Live(_)) {
            self.tier.forget(id);
        }
        let claim = match (rest.first().and_then(reply::text), token) {
            (Some("granted"), Some(token)) => Claim::Granted(token),
            (Some("taken"), _) => Claim::Taken,
            _ => Claim::Free,
        };
        Ok((Fetched { read_version, found }, if what == "live" { Claim::Free } else { claim }))
    }

    /// An entry that is live by the clock, unless it has expired.
    fn alive(&self, entry: Arc<Entry>) -> Found {
        // The server expires entries by itself, but a trusted copy is served without asking it.
        if entry.expires_at <= self.options.clock.now() {
            return Found::Dead(DeadReason::Expired);
        }
        self.link.pace().cost(entry.recompute);
        Found::Live(entry)
    }
}

/// What was found, the clock, and the rest of the reply.
fn parse_lookup(reply: &Value) -> Option<(&str, ReadVersion, &[Value])> {
    let [what, incarnation, sequence, rest @ ..] = reply::items(reply)? else { return None };
    Some((reply::text(what)?, parse_snapshot(incarnation, sequence)?, rest))
}

fn parse_live(corpus: &Corpus, id: EntryId, rest: &[Value]) -> Option<(Entry, FillName)> {
    let [fill, fields @ ..] = rest else { return None };
    Some((record::decode(corpus, id, fields)?, reply::bytes(fill)?.try_into().ok()?))
}

fn parse_snapshot(incarnation: &Value, sequence: &Value) -> Option<ReadVersion> {
    let incarnation = u128::from_be_bytes(reply::bytes(incarnation)?.try_into().ok()?);
    Some(ReadVersion { incarnation, sequence: reply::number(sequence)? })
}
