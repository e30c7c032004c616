//! `POST /v1/cache/feedback`: whether a served answer was right. A wrong one is removed.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use crate::entry::Change;
use crate::key::{Corpus, EntryId};
use crate::server::Gateway;
use crate::server::documents::{Job, told};
use crate::server::error::Problem;
use crate::server::extract::object;

/// What callers said of answers since the gateway started.
#[derive(Debug, Default)]
pub(in crate::server) struct Feedback {
    pub(in crate::server) right: AtomicU64,
    pub(in crate::server) wrong: AtomicU64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    entry: EntryId,
    #[serde(default)]
    corpus: Corpus,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Right,
    Wrong,
}

pub(super) async fn feedback(State(gateway): State<Gateway>, request: Request) -> Result<Response, Problem> {
    let said: Said = serde_json::from_value(object(&gateway, request).await?.into())
        .map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))?;
    let counts = gateway.feedback();
    match said.verdict {
        Verdict::Right => {
            counts.right.fetch_add(1, Ordering::Relaxed);
            Ok(Json(json!({ "state": "noted" })).into_response())
        }
        Verdict::Wrong => {
            counts.wrong.fetch_add(1, Ordering::Relaxed);
            tracing::info!(entry = %said.entry, "a caller says that an answer was wrong");
            // As an invalidation, so that the same answer is not stored by a fill on its way.
            let job = Job::invalidate(said.corpus, vec![Change::Entry(said.entry)]);
            told(gateway.submit(job).await?, &gateway)
        }
    }
}
