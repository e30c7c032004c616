//! `POST /v1/cache/feedback`: whether a served answer was right.
//!
//! A wrong answer is removed, and never served again for the question that it was wrong for.
//!
//! Callers can give feedback on answers that they may be served. An answer that belongs to others gets the
//! same response as one that is gone.

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Map, json};
use wellspring::cache::FeedbackSource;
use wellspring::entry::Change;
use wellspring::judgement::Feedback;
use wellspring::key::{EntryId, ShownId};

use super::entries::no_entry;
use super::lookup::tenant_of;
use crate::auth::{Caller, Permission};
use crate::documents::{Job, submitted_response};
use crate::error::Problem;
use crate::extract::{object, typed};
use crate::proxy::{Directives, holder, writers};
use crate::{Gateway, Sharing};

/// The fields that feedback has besides `question`, `corpus` and `tenant`, which are those of a lookup.
const OWN: [&str; 2] = ["entry", "verdict"];
const SHARED: [&str; 3] = ["question", "corpus", "tenant"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    entry: ShownId,
    verdict: Feedback,
}

pub(super) async fn feedback(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let fields = object(&gateway, request).await?;
    if let Some(name) = fields.keys().find(|name| ![&OWN[..], &SHARED].concat().contains(&name.as_str())) {
        return Err(Problem::invalid(format!("the body is not valid: the field {name} is not known")));
    }
    let (own, mut shared): (Map<_, _>, Map<_, _>) =
        fields.into_iter().partition(|(name, _)| OWN.contains(&name.as_str()));
    let Own { entry, verdict } = typed(own)?;
    // The question is only compared with others, not matched by meaning.
    shared.insert("exact".to_owned(), true.into());
    let directives = Directives::new(Some(shared.into()), &headers, &gateway.options().limits)?;
    let (corpus, question) = (directives.corpus.clone().unwrap_or_default(), directives.question.as_deref());
    gateway.allowances().take_corpus(&corpus)?;
    // Both are remembered; that an answer was wrong counts as the change that it becomes.
    if verdict == Feedback::Right {
        gateway.allowances().take_changes(1)?;
    }
    let cache = gateway.cache();
    let is_operator = caller.token.is_some() && caller.may(Permission::Admin);
    let entry = if is_operator {
        gateway.cache().named(&corpus, EntryId::from_bytes(*entry.as_bytes())).await?
    } else {
        cache.id_key().await?.entry(entry)
    };
    let remembered = if is_operator {
        cache.remember_feedback(&corpus, entry, question, verdict).await
    } else {
        let tenants =
            writers::tenants(&caller, &headers, tenant_of(&gateway, &caller, &headers, &directives));
        let stored = cache.entry(&corpus, entry).await?;
        if stored.is_none_or(|stored| !tenants.contains(&stored.entry.tenant)) {
            return Err(no_entry());
        }
        cache
            .feedback_from(feedback_source(&gateway, &caller, &headers), &corpus, entry, question, verdict)
            .await
    };
    match remembered {
        Ok(true) => {}
        Ok(false) => return Err(no_entry()),
        Err(error) if error.is_invalid_input() => return Err(error.into()),
        // A wrong answer is removed even if the feedback could not be written.
        Err(error) => tracing::warn!(%error, "feedback was not saved"),
    }
    gateway.telemetry().feedback().judged(entry, verdict);
    match verdict {
        Feedback::Right => Ok(Json(json!({ "state": "noted" })).into_response()),
        Feedback::Wrong => {
            tracing::info!(%entry, "a caller says that an answer was wrong");
            // Done as an invalidation, so that a fill on its way does not store the same answer again.
            let job = Job::invalidate(corpus, vec![Change::Entry(entry)]);
            Ok(submitted_response(gateway.submit(job).await?, &gateway))
        }
    }
}

/// Who gives the feedback, and whether what is learned from it affects answers to others.
fn feedback_source(gateway: &Gateway, caller: &Caller, headers: &HeaderMap) -> FeedbackSource {
    let is_alone = gateway.options().sharing == Sharing::Key;
    let source = if is_alone { FeedbackSource::new().alone() } else { FeedbackSource::new() };
    match (&caller.token, holder(caller, headers)) {
        (Some(token), _) => source.name(format!("token:{}", token.name())),
        // Where answers are shared, a key that anyone can make up does not make a caller another one.
        (None, Some(key)) if is_alone => source.name(key),
        _ => source,
    }
}
