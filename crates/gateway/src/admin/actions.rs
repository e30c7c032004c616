//! What may be done to answers: end them, hold a document, or release it.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use wellspring::entry::{Change, DocumentVersion};
use wellspring::key::Corpus;

use super::{Answered, json};
use crate::Gateway;
use crate::documents::{Action, Job, MOST_CHANGES, miscounted, submitted_response, weight};
use crate::error::Problem;
use crate::extract::{self, or_default};

pub(super) async fn body<T: DeserializeOwned>(gateway: &Gateway, request: Request) -> Result<T, Problem> {
    extract::no_query(request.uri())?;
    extract::read(gateway, request.into_body()).await?.ok_or_else(extract::no_object)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalidate {
    #[serde(default, deserialize_with = "or_default")]
    corpus: Corpus,
    changes: Vec<Change>,
}

/// Ends every answer that depends on one of the changes; one answer by `{"entry": ID}`.
pub(super) async fn invalidate(
    State(gateway): State<Gateway>,
    request: Request,
) -> Result<Response, Problem> {
    let mut asked: Invalidate = body(&gateway, request).await?;
    let count: usize = asked.changes.iter().map(weight).sum();
    if !(1..=MOST_CHANGES).contains(&count) {
        return Err(miscounted(count));
    }
    for change in &mut asked.changes {
        if let Change::Entry(id) = change {
            // If the store cannot be read, the invalidation is kept, with the id as given.
            *id = gateway.cache().named(&asked.corpus, *id).await.unwrap_or(*id);
        }
    }
    Ok(submitted_response(gateway.submit(Job::invalidate(asked.corpus, asked.changes)).await?, &gateway))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    #[serde(default, deserialize_with = "or_default")]
    corpus: Corpus,
    document: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    #[serde(default, deserialize_with = "or_default")]
    corpus: Corpus,
    document: String,
    #[serde(default)]
    version: Option<DocumentVersion>,
}

/// Holds a document: nothing that depends on it is served until it is released.
pub(super) async fn hold(State(gateway): State<Gateway>, request: Request) -> Answered {
    let asked: Hold = body(&gateway, request).await?;
    gateway.hold(&asked.corpus, &asked.document).await?;
    json(&json!({ "held": asked.document }))
}

/// Ends the hold on a document, which counts as a change of it.
pub(super) async fn release(State(gateway): State<Gateway>, request: Request) -> Result<Response, Problem> {
    let asked: Release = body(&gateway, request).await?;
    let action = Action::End { document: asked.document, version: asked.version };
    Ok(submitted_response(gateway.submit(Job { corpus: asked.corpus, action }).await?, &gateway))
}
