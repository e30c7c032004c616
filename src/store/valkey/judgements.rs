//! The log of judgements, a stream that all processes share.
//!
//! It is trimmed to `MAXLEN ~` [`MAX_JUDGEMENTS`]. Each event has one field `j`, a JSON value.

use async_trait::async_trait;
use redis::Value;

use super::{ValkeyStore, reply};
use crate::error::{Error, ErrorKind, Result};
use crate::judgement::{JudgementCursor, Logged, MAX_JUDGEMENTS};
use crate::store::JudgementLog;

#[async_trait]
impl JudgementLog for ValkeyStore {
    async fn record_judgement(&self, logged: &Logged) -> Result<()> {
        let inner = &self.inner;
        inner.check_open()?;
        let encoded = serde_json::to_vec(logged)
            .map_err(|e| Error::new(ErrorKind::Store, "cannot encode a judgement").with_source(e))?;
        let key = inner.keys.judgements();
        let mut add = redis::cmd("XADD");
        add.arg(&key).arg("MAXLEN").arg("~").arg(MAX_JUDGEMENTS).arg("*").arg("j").arg(encoded);
        inner.control.send(&add, &key, inner.options.invalidate_timeout).await?;
        Ok(())
    }

    async fn judgements(
        &self,
        after: Option<JudgementCursor>,
        limit: usize,
    ) -> Result<Vec<(JudgementCursor, Logged)>> {
        let inner = &self.inner;
        inner.check_open()?;
        let key = inner.keys.judgements();
        let first = after.map_or_else(|| "-".to_owned(), |JudgementCursor(ms, n)| format!("({ms}-{n}"));
        let range = redis::cmd("XRANGE").arg(&key).arg(first).arg("+").arg("COUNT").arg(limit).to_owned();
        let found = inner.control.send(&range, &key, inner.options.invalidate_timeout).await?;
        let entries = reply::items(&found).ok_or_else(|| reply::unexpected("a range of judgements"))?;
        let mut judgements = Vec::with_capacity(entries.len());
        let mut last = None;
        for entry in entries {
            let Some((cursor, logged)) = parse(entry) else {
                return Err(reply::unexpected("a judgement"));
            };
            last = Some(cursor);
            // A judgement that a later version wrote is skipped.
            judgements.extend(logged.map(|logged| (cursor, logged)));
        }
        match last {
            // A page of nothing but unknown judgements must not look like the end.
            Some(last) if judgements.is_empty() => self.judgements(Some(last), limit).await,
            _ => Ok(judgements),
        }
    }
}

fn parse(entry: &Value) -> Option<(JudgementCursor, Option<Logged>)> {
    let [id, fields] = reply::items(entry)? else { return None };
    let (ms, n) = reply::text(id)?.split_once('-')?;
    let cursor = JudgementCursor(ms.parse().ok()?, n.parse().ok()?);
    let [_, value] = reply::items(fields)? else { return Some((cursor, None)) };
    Some((cursor, serde_json::from_slice(reply::bytes(value)?).ok()))
}
