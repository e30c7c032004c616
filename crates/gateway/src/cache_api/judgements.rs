//! `/v1/cache/judgements`: what a judge decided or callers reported, and how to revoke it.

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wellspring::clock::Timestamp;
use wellspring::judgement::{Feedback, Judge, Judgement, JudgementCursor, Revocation};
use wellspring::key::EntryId;

use crate::Gateway;
use crate::error::Problem;
use crate::extract::{Params, object, or_default, typed};

/// How many judgements a page holds, by default and at most.
const PAGE: (usize, usize) = (50, 500);
/// How many judgements one request looks at. A search that reaches this number reports where to continue.
const LOOKED_AT: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    /// The last judgement of the previous page.
    after: Option<JudgementCursor>,
    limit: Option<usize>,
    by: Option<String>,
    since: Option<Timestamp>,
    verdict: Option<Feedback>,
    /// Callers' feedback instead of judges' decisions.
    feedback: bool,
}

impl Wanted {
    fn accepts(&self, judgement: &Judgement) -> bool {
        (judgement.judge == Judge::Caller) == self.feedback
            && self.by.as_deref().is_none_or(|by| judgement.by.as_deref() == Some(by))
            && self.since.is_none_or(|since| judgement.at >= since)
            && self.verdict.is_none_or(|verdict| judgement.feedback == verdict)
    }
}

#[derive(Serialize)]
struct Listed {
    id: JudgementCursor,
    #[serde(flatten)]
    judgement: Judgement,
    /// How often this process served the pair because of the judgement.
    served: u64,
}

/// A page of judges' decisions, or callers' feedback, that are in force, oldest first; `next` is the `after`
/// of the next page.
pub(super) async fn list(
    State(gateway): State<Gateway>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Value>, Problem> {
    let limit = wanted.limit.unwrap_or(PAGE.0);
    if !(1..=PAGE.1).contains(&limit) {
        return Err(Problem::invalid(format!("the limit is {limit}, expected 1 to {}", PAGE.1)));
    }
    let cache = gateway.cache();
    let (mut page, mut after, mut looked_at) = (Vec::new(), wanted.after, 0);
    while looked_at < LOOKED_AT {
        let found = cache.judgements(after, PAGE.1).await?;
        let is_last = found.len() < PAGE.1;
        looked_at += found.len();
        for (id, judgement) in found {
            if page.len() == limit {
                return Ok(Json(json!({ "judgements": page, "next": after })));
            }
            after = Some(id);
            if wanted.accepts(&judgement) {
                let served = cache.served_as_approved(judgement.asked, judgement.cached);
                page.push(Listed { id, judgement, served });
            }
        }
        if is_last {
            return Ok(Json(json!({ "judgements": page, "next": null })));
        }
    }
    Ok(Json(json!({ "judgements": page, "next": after })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    #[serde(default)]
    asked: Option<EntryId>,
    #[serde(default)]
    cached: Option<EntryId>,
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    since: Option<Timestamp>,
    #[serde(default, deserialize_with = "or_default")]
    all: bool,
    /// Callers' feedback instead of judges' decisions.
    #[serde(default, deserialize_with = "or_default")]
    feedback: bool,
}

impl Revoke {
    fn revocation(self) -> Option<Revocation> {
        let is_narrow = self.by.is_some() || self.since.is_some();
        let revocation = match (self.asked, self.cached) {
            (Some(asked), Some(cached)) if !self.all && !self.feedback => Revocation::of_pair(asked, cached),
            (None, None) if self.all != is_narrow && self.feedback => Revocation::feedback(),
            (None, None) if self.all != is_narrow => Revocation::everything(),
            _ => return None,
        };
        let revocation = self.by.into_iter().fold(revocation, Revocation::by);
        Some(self.since.into_iter().fold(revocation, Revocation::since))
    }
}

/// Revokes judges' decisions (those on a pair, by one judge, from a time on, or all of them) or callers'
/// feedback.
pub(super) async fn revoke(State(gateway): State<Gateway>, request: Request) -> Result<Json<Value>, Problem> {
    let asked: Revoke = typed(object(&gateway, request).await?)?;
    let revocation = asked.revocation().ok_or_else(|| {
        Problem::invalid("name what to revoke: `asked` with `cached`, `by` or `since`, or \"all\": true; with \"feedback\": true no pair")
    })?;
    let revoked = gateway.cache().revoke(revocation).await?;
    tracing::info!(revoked, "decisions of judges or feedback of callers were revoked");
    Ok(Json(json!({ "revoked": revoked })))
}
