//! `POST /v1/cache/fill`: the answer that a permit was given for.

use axum::Json;
use axum::extract::{Extension, Request, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cache::FillOutcome;
use crate::entry::Usage;
use crate::error::ErrorKind;
use crate::server::Gateway;
use crate::server::auth::Caller;
use crate::server::error::Problem;
use crate::server::extract::object;
use crate::server::permits;
use crate::server::proxy::{Directives, RECORDING, holder};

/// The fields that a fill has over those of `wellspring` in a request to the proxy.
const OWN: [&str; 3] = ["answer", "usage", "metadata"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    answer: String,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    metadata: Value,
}

/// Stores an answer. What became of it is told by `status`; only a broken store is an error.
pub(super) async fn fill(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let headers = request.headers().clone();
    let fields = object(&gateway, request).await?;
    let (own, shared): (Map<_, _>, Map<_, _>) =
        fields.into_iter().partition(|(name, _)| OWN.contains(&name.as_str()));
    let own: Own = serde_json::from_value(own.into())
        .map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))?;
    if own.metadata.get(RECORDING).is_some() {
        return Err(Problem::invalid(format!(
            "metadata has a field {RECORDING}, which is what the proxy received: name it otherwise"
        )));
    }
    let directives = Directives::new(Some(&shared.into()), &headers, &gateway.options().limits)?;
    let Some(name) = &directives.permit else { return Err(Problem::invalid("the body has no permit")) };
    let holder = holder(&caller, &headers);
    let permit = gateway.permits().take(name, holder.as_deref()).ok_or_else(permits::gone)?;
    if let Some(question) = &directives.question {
        permits::check_question(&permit, question)?;
    }
    let answer = directives.answer(own.answer, own.usage, own.metadata);
    let ids = gateway.cache().id_key().await?;
    Ok(Json(match permit.fill(answer, directives.dependencies()).await {
        FillOutcome::Stored(entry) => json!({ "status": "stored", "entry": ids.show(entry) }),
        FillOutcome::Queued(entry) => json!({ "status": "queued", "entry": ids.show(entry) }),
        FillOutcome::Refused(reason) => {
            json!({ "status": "refused", "reason": reason, "message": reason.to_string() })
        }
        FillOutcome::Declined(reason) => {
            json!({ "status": "declined", "reason": reason, "message": reason.to_string() })
        }
        FillOutcome::Failed(error) if error.kind() == ErrorKind::InvalidInput => return Err(error.into()),
        FillOutcome::Failed(error) => json!({ "status": "failed", "message": error.to_string() }),
    }))
}
