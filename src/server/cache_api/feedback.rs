//! `POST /v1/cache/feedback`: whether a served answer was right. A wrong one is removed, and never served again for the
//! question that it was wrong for.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use crate::entry::Change;
use crate::judgement::Feedback;
use crate::key::{Corpus, EntryId};
use crate::server::Gateway;
use crate::server::documents::{Job, told};
use crate::server::error::Problem;
use crate::server::extract::object;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    entry: EntryId,
    #[serde(default)]
    corpus: Corpus,
    verdict: Feedback,
    /// The question that the answer was served for; that of the entry if it is not told.
    #[serde(default)]
    question: Option<String>,
}

pub(super) async fn feedback(State(gateway): State<Gateway>, request: Request) -> Result<Response, Problem> {
    let said: Said = serde_json::from_value(object(&gateway, request).await?.into())
        .map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))?;
    gateway.telemetry().feedback().judged(said.entry, said.verdict);
    // Before it is removed, for the pair is known by its entry. That it could not be written keeps nothing from going.
    let question = said.question.as_deref();
    let remembered =
        gateway.cache().remember_feedback(&said.corpus, said.entry, question, said.verdict).await;
    if let Err(error) = remembered {
        if error.is_invalid_input() {
            return Err(error.into());
        }
        tracing::warn!(%error, "feedback was not remembered");
    }
    match said.verdict {
        Feedback::Right => Ok(Json(json!({ "state": "noted" })).into_response()),
        Feedback::Wrong => {
            tracing::info!(entry = %said.entry, "a caller says that an answer was wrong");
            // As an invalidation, so that the same answer is not stored by a fill on its way.
            let job = Job::invalidate(said.corpus, vec![Change::Entry(said.entry)]);
            Ok(told(gateway.submit(job).await?, &gateway))
        }
    }
}
