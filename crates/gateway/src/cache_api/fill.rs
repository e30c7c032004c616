//! `POST /v1/cache/fill`: the answer that a permit was given for.

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wellspring::cache::{FillOutcome, FillPermit};
use wellspring::entry::{Answer, Dependency, Usage};
use wellspring::error::ErrorKind;

use crate::Gateway;
use crate::auth::Caller;
use crate::error::Problem;
use crate::extract::{exact_object, typed};
use crate::permits;
use crate::proxy::{Directives, RECORDING, holder, json as exact};

/// The fields of an answer that `wellspring` does not have in a request to the proxy.
#[derive(Debug, Deserialize)]
pub(super) struct Made {
    answer: String,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    metadata: Value,
}

impl Made {
    /// Takes the answer out of `fields`, whose numbers keep their text.
    pub(super) fn take(fields: &mut Map<String, Value>) -> Result<Self, Problem> {
        let mut own = Map::new();
        for name in ["answer", "usage", "metadata"] {
            let Some(value) = fields.remove(name) else { continue };
            let kept = exact::unchanged(&value).map_err(|number| {
                Problem::invalid(format!(
                    "the field {name} holds the number {number}, which cannot be kept exactly: send it as a string"
                ))
            })?;
            own.insert(name.to_owned(), kept);
        }
        let made: Self = typed(own)?;
        if made.metadata.get(RECORDING).is_some() {
            return Err(Problem::invalid(format!(
                "metadata has a field {RECORDING}, which is reserved for what the proxy received: use another name"
            )));
        }
        Ok(made)
    }

    pub(super) fn answer(self, directives: &Directives) -> Answer {
        directives.answer(self.answer, self.usage, self.metadata)
    }
}

/// Stores an answer. `status` reports the outcome; only a broken store is an error.
pub(super) async fn fill(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (headers, reading) = (request.headers().clone(), gateway.clone());
    let read = move |fields| Fill::read(&reading, &caller, &headers, fields);
    exact_object(&gateway, request, read).await?.store(&gateway).await.map(Json)
}

/// An answer to be stored with its permit.
pub(super) struct Fill {
    permit: FillPermit,
    answer: Answer,
    dependencies: Vec<Dependency>,
}

impl Fill {
    pub(super) fn read(
        gateway: &Gateway,
        caller: &Caller,
        headers: &HeaderMap,
        mut fields: Map<String, Value>,
    ) -> Result<Self, Problem> {
        let made = Made::take(&mut fields)?;
        let directives = Directives::new(Some(fields.into()), headers, &gateway.options().limits)?;
        let Some(name) = &directives.permit else { return Err(Problem::invalid("the body has no permit")) };
        let permit =
            gateway.permits().take(name, holder(caller, headers).as_deref()).ok_or_else(permits::gone)?;
        if let Some(question) = &directives.question {
            permits::check_question(&permit, question)?;
        }
        Ok(Self { permit, answer: made.answer(&directives), dependencies: directives.dependencies() })
    }

    pub(super) async fn store(self, gateway: &Gateway) -> Result<Value, Problem> {
        let outcome = self.permit.fill(self.answer, self.dependencies).await;
        outcome_json(gateway, outcome).await
    }
}

/// The outcome of a fill.
pub(super) async fn outcome_json(gateway: &Gateway, outcome: FillOutcome) -> Result<Value, Problem> {
    let ids = gateway.cache().id_key();
    Ok(match outcome {
        FillOutcome::Stored(entry) => json!({ "status": "stored", "entry": ids.await?.show(entry) }),
        FillOutcome::Queued(entry) => json!({ "status": "queued", "entry": ids.await?.show(entry) }),
        FillOutcome::Refused(reason) => {
            json!({ "status": "refused", "reason": reason, "message": reason.to_string() })
        }
        FillOutcome::Declined(reason) => {
            json!({ "status": "declined", "reason": reason, "message": reason.to_string() })
        }
        FillOutcome::Failed(error) if error.kind() == ErrorKind::InvalidInput => return Err(error.into()),
        FillOutcome::Failed(error) => json!({ "status": "failed", "message": error.to_string() }),
        _ => json!({ "status": "declined" }),
    })
}
