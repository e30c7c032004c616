//! Reports changes to the store, or to a gateway.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use wellspring::backoff::Backoff;
use wellspring::entry::Change as Reported;
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::key::Corpus;
use wellspring::store::Store;

use super::state::Change;
use crate::commands::context::Context;
use crate::commands::input::invalid;
use crate::commands::output;
use crate::config::Opening;

/// How many changes are reported at a time.
pub(super) const BATCH: usize = 1_000;
/// The pauses between attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// How long a gateway may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The receiver of the changes.
#[derive(Debug)]
pub(super) struct Reporter {
    corpus: Corpus,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Store(Arc<dyn Store>),
    Gateway { client: Client, url: String, token: Option<String> },
}

impl Reporter {
    pub(super) async fn open(
        context: &Context,
        gateway: Option<&str>,
        token_env: &str,
        corpus: Corpus,
    ) -> Result<Self> {
        let target = match gateway {
            // Creates the store if there is none: it must know even the changes that are reported before its
            // first answer.
            None => Target::Store(context.config.open_store(Opening::Create).await?),
            Some(url) => {
                let client = Client::builder().timeout(TIMEOUT).build();
                let client = client.map_err(|error| invalid("no HTTP client").with_source(error))?;
                let token = std::env::var(token_env).ok().filter(|token| !token.is_empty());
                let url = format!("{}/v1/documents/changed", url.trim_end_matches('/'));
                Target::Gateway { client, url, token }
            }
        };
        Ok(Self { corpus, target })
    }

    /// Reports `changes` and returns when they are in force, or when a gateway has kept them and goes on
    /// trying. As long as an attempt may still succeed, tries for ever, or only `once`.
    pub(super) async fn report(&self, changes: &[Change], once: bool) -> Result<()> {
        let mut backoff = BACKOFF;
        loop {
            let error = match self.try_to_report(changes).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let may_pass =
                matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Incomplete | ErrorKind::Timeout);
            if once || !may_pass {
                return Err(error);
            }
            let pause = backoff.next_pause();
            output::note(format_args!("{error}; trying again in {} ms", pause.as_millis()));
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_to_report(&self, changes: &[Change]) -> Result<()> {
        match &self.target {
            Target::Store(store) => {
                let changes: Vec<Reported> = changes.iter().map(reported).collect();
                store.invalidate(&self.corpus, &changes).await.map(drop)
            }
            Target::Gateway { client, url, token } => {
                let mut request = client.post(url).json(&body(&self.corpus, changes));
                if let Some(token) = token {
                    request = request.header("wellspring-token", token);
                }
                let failed = |error: reqwest::Error| {
                    Error::new(ErrorKind::Unavailable, "the gateway cannot be reached").with_source(error)
                };
                let response = request.send().await.map_err(failed)?;
                match response.status() {
                    StatusCode::OK | StatusCode::ACCEPTED => Ok(()),
                    status => {
                        let body: Value = response.json().await.unwrap_or_default();
                        let message = body["error"]["message"].as_str().unwrap_or("and does not say why");
                        let is_passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                        let kind = if is_passing { ErrorKind::Unavailable } else { ErrorKind::InvalidInput };
                        Err(Error::new(kind, format!("the gateway answered {status}: {message}")))
                    }
                }
            }
        }
    }

    pub(super) async fn close(self) -> Result<()> {
        match self.target {
            Target::Store(store) => store.close().await,
            Target::Gateway { .. } => Ok(()),
        }
    }
}

fn reported(change: &Change) -> Reported {
    match change {
        Change::Document { id, version } => {
            Reported::Document { id: id.clone(), version: version.as_deref().map(Into::into) }
        }
        Change::Collection { name } => Reported::Collection(name.clone()),
    }
}

fn body(corpus: &Corpus, changes: &[Change]) -> Value {
    let (mut documents, mut collections) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Document { id, version } => documents.push(json!({ "id": id, "version": version })),
            Change::Collection { name } => collections.push(name),
        }
    }
    json!({ "corpus": corpus, "documents": documents, "collections": collections })
}
