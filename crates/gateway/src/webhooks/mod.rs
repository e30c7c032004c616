//! `POST /v1/webhooks/{name}`: changes that other systems report in their own formats.
//!
//! Each webhook has a secret that identifies its sender; it needs no token. [`Rules`] turn what it reports
//! into changes without versions: a sender's idea of a version (a commit, an etag) is seldom the same as that
//! of retrieval, and answers whose version is spelt in another way would be refused. Senders that know the
//! version of retrieval use the format of `/v1/documents/changed`, signed.

mod cloudevents;
mod deliveries;
mod github;
mod s3;
mod signature;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::json;
use wellspring::entry::Change;
use wellspring::error::{Error, ErrorKind};
use wellspring::key::Corpus;

pub(super) use self::deliveries::Deliveries;
use crate::documents::{self, Action, Job, submitted_response};
use crate::error::Problem;
use crate::extract::{self, Named};
use crate::rules::{Mapped, Rules};
use crate::{Gateway, body};

/// The most files that one request may report; beyond it, everything is invalidated.
const MOST_FILES: usize = 10_000;
/// The headers of the handshake in which senders of `CloudEvents` ask whether they may send.
const ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");

/// A webhook by which another system may report changes.
#[derive(Clone)]
pub struct Webhook {
    /// Its name in the address.
    pub name: String,
    /// The format.
    pub kind: WebhookKind,
    /// The secret that its sender shows or signs with.
    pub secret: String,
    /// The corpus of the changes that it reports.
    pub corpus: Corpus,
    /// How paths map to documents.
    pub rules: Rules,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The format of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookKind {
    /// The body of `/v1/documents/changed`, with its HMAC-SHA256 in a header.
    Hmac {
        /// The header with the signature, in hexadecimal with or without the prefix `sha256=`.
        header: HeaderName,
        /// The header with the time in seconds since 1970, which may have a fraction, and how far it may be
        /// off. The signature then covers the time, a dot and the body, and a signature that was seen before
        /// is not applied again. Without this header, a recorded request cannot be distinguished from a new
        /// one, and versions are not believed.
        timestamp: Option<(HeaderName, Duration)>,
    },
    /// GitHub's event `push`, signed in `X-Hub-Signature-256`.
    GitHub {
        /// The branch whose pushes count; none for all branches.
        branch: Option<String>,
    },
    /// Notifications of S3 and compatible stores, with the secret as a bearer token.
    S3,
    /// `CloudEvents` 1.0, structured, binary or in batches, with the secret as a bearer token. The subject is
    /// the path.
    CloudEvents,
}

/// What a request reports.
#[derive(Debug, PartialEq, Eq)]
enum Reported {
    /// These files, each with what is known besides its path.
    Files(Vec<File>),
    /// It cannot be determined which files: everything.
    Everything,
    /// Nothing that concerns documents, and the reason.
    Nothing(&'static str),
}

#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    path: String,
    variables: Vec<(&'static str, String)>,
}

pub(super) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/webhooks/{name}", post(receive).options(handshake))
}

async fn receive(
    State(gateway): State<Gateway>,
    Named(name): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let webhook = find(&gateway, &name)?;
    let (head, body) = request.into_parts();
    // Rejects senders that do not even try to show the secret.
    match &webhook.kind {
        WebhookKind::Hmac { header, .. } => signature::check_shown(header, &head.headers)?,
        WebhookKind::GitHub { .. } => signature::check_shown(&signature::GITHUB, &head.headers)?,
        WebhookKind::S3 | WebhookKind::CloudEvents => signature::check_bearer(webhook, &head.headers)?,
    }
    let limits = &gateway.options().limits;
    let body = body::read_webhook(&gateway, body).await?;
    let reported = match &webhook.kind {
        WebhookKind::Hmac { header, timestamp } => {
            let signed = signature::check_timed(webhook, header, timestamp.as_ref(), &head.headers, &body)?;
            limits.check_json(&body)?;
            if signed.as_ref().is_some_and(|signed| gateway.deliveries().has_seen(signed)) {
                return Ok(nothing("this request was already applied"));
            }
            let mut job = posted(webhook, &body)?;
            gateway.deliveries().in_order(signed.as_ref(), &mut job);
            let response = submit(&gateway, job.clone()).await?;
            settle(&gateway, job).await?;
            if let Some(signed) = signed {
                gateway.deliveries().saw(&signed);
            }
            return Ok(response);
        }
        WebhookKind::GitHub { branch } => {
            signature::check(webhook, &signature::GITHUB, &head.headers, &body)?;
            limits.check_json(&body)?;
            github::read(&head.headers, &body, branch.as_deref())?
        }
        WebhookKind::S3 => {
            limits.check_json(&body)?;
            s3::read(&body)?
        }
        WebhookKind::CloudEvents => cloudevents::read(&head.headers, &body)?,
    };
    let changes = match reported {
        Reported::Nothing(why) => return Ok(nothing(why)),
        Reported::Everything => vec![Change::Everything],
        Reported::Files(files) if files.len() > MOST_FILES => vec![Change::Everything],
        Reported::Files(files) => changes(&webhook.rules, files),
    };
    let mut job = Job::invalidate(webhook.corpus.clone(), changes);
    gateway.deliveries().in_order(None, &mut job);
    submit(&gateway, job).await
}

/// The changes that `body`, in the format of `/v1/documents/changed`, reports: the documents that the rules
/// map its ids to, and their collections.
fn posted(webhook: &Webhook, body: &[u8]) -> Result<Job, Problem> {
    let collections = RefCell::new(BTreeSet::new());
    let rename = |id: String| {
        let Mapped { document, collection } = webhook.rules.map(&id, &[])?;
        collections.borrow_mut().extend(collection);
        Some(document)
    };
    let mut job = documents::read(extract::fields(body)?, Some(&webhook.corpus), rename)?;
    if let Action::Invalidate(changes) = &mut job.action {
        changes.extend(collections.into_inner().into_iter().map(Change::Collection));
    }
    Ok(job)
}

/// Registers the latest versions again if `job`, which was applied, is not the latest delivery. Not counted
/// as changes of the sender, and not stopped when it disconnects.
async fn settle(gateway: &Gateway, job: Job) -> Result<(), Problem> {
    let settled = {
        let (gateway, mut overtaken) = (gateway.clone(), gateway.deliveries().overtaken(&job));
        async move {
            // Another delivery may be applied meanwhile.
            while !overtaken.is_empty() {
                gateway.submit(overtaken.clone()).await?;
                overtaken = gateway.deliveries().overtaken(&overtaken);
            }
            Ok(())
        }
    };
    let broke = |broken: tokio::task::JoinError| {
        Error::new(ErrorKind::Store, "registering a version failed unexpectedly").with_source(broken)
    };
    gateway.tasks().spawn(settled).await.map_err(broke)?
}

async fn submit(gateway: &Gateway, job: Job) -> Result<Response, Problem> {
    if job.is_empty() {
        return Ok(nothing("no rule matches any of the paths"));
    }
    Ok(submitted_response(gateway.submit(job).await?, gateway))
}

/// The changes that `files` stand for, without duplicates.
fn changes(rules: &Rules, mut files: Vec<File>) -> Vec<Change> {
    files.sort_unstable();
    let (mut documents, mut collections) = (Vec::new(), Vec::new());
    for file in &files {
        let variables: Vec<(&str, &str)> =
            file.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if let Some(mapped) = rules.map(&file.path, &variables) {
            documents.push(mapped.document);
            collections.extend(mapped.collection);
        }
    }
    for names in [&mut documents, &mut collections] {
        names.sort_unstable();
        names.dedup();
    }
    documents
        .into_iter()
        .map(Change::document)
        .chain(collections.into_iter().map(Change::Collection))
        .collect()
}

/// Allows any sender to send; whether it knows the secret is checked when it does.
async fn handshake(
    State(gateway): State<Gateway>,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let webhook = find(&gateway, &name)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if webhook.kind == WebhookKind::CloudEvents
        && let Some(origin) = headers.get(ORIGIN)
    {
        response.headers_mut().insert(ALLOWED_ORIGIN, origin.clone());
    }
    response.headers_mut().insert(axum::http::header::ALLOW, HeaderValue::from_static("POST"));
    Ok(response)
}

fn find<'a>(gateway: &'a Gateway, name: &str) -> Result<&'a Webhook, Problem> {
    gateway.options().webhooks.iter().find(|webhook| webhook.name == name).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "no_webhook", "no webhook of this name is configured")
    })
}

fn nothing(why: &str) -> Response {
    Json(json!({ "state": "ignored", "why": why })).into_response()
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::invalid(format!("the body is not what this webhook expects: {error}"))
}

#[cfg(test)]
mod tests {
    use wellspring_test_support::fuzz::{Target, head_and_body};

    use super::*;
    use crate::limits::RequestLimits;
    use crate::rules::{Pattern, Rule};

    #[test]
    fn whatever_a_sender_sends_it_is_changes_or_refused() {
        let rule = |pattern: Pattern, document: &str, collection: Option<&str>| Rule {
            pattern,
            document: Some(document.into()),
            collection: collection.map(Into::into),
        };
        let rules = Rules::new(&[
            rule(Pattern::Regex("^docs/(.*)[.]md$".into()), "${1}", Some("${dir}")),
            rule(Pattern::Glob("**".into()), "${path}", None),
        ]);
        let (header, time) = (HeaderName::from_static("wellspring-signature"), "wellspring-time");
        let timestamp = Some((HeaderName::from_static(time), Duration::from_mins(5)));
        let webhook = Webhook {
            name: "docs".into(),
            kind: WebhookKind::Hmac { header: header.clone(), timestamp: timestamp.clone() },
            secret: "secret".into(),
            corpus: Corpus::default(),
            rules: rules.unwrap(),
        };
        let limits = RequestLimits::default();
        Target::new("webhooks").room(256 << 10, 512).run(|input| {
            let (headers, body) = head_and_body(input);
            // Whether it is signed or not: who knows the secret may send anything.
            drop(signature::check_shown(&header, &headers));
            drop(signature::check_timed(&webhook, &header, timestamp.as_ref(), &headers, body));
            drop(signature::check(&webhook, &signature::GITHUB, &headers, body));
            drop(signature::check_bearer(&webhook, &headers));
            if limits.check_json(body).is_err() {
                return false;
            }
            let posted = posted(&webhook, body);
            let reported =
                [github::read(&headers, body, None), s3::read(body), cloudevents::read(&headers, body)];
            let jobs = reported.into_iter().filter_map(|reported| match reported {
                Ok(Reported::Files(files)) => {
                    Some(Job::invalidate(webhook.corpus.clone(), changes(&webhook.rules, files)))
                }
                _ => None,
            });
            let jobs: Vec<Job> = jobs.chain(posted).collect();
            for job in &jobs {
                let kept = serde_json::to_string(job).unwrap();
                assert_eq!(serde_json::from_str::<Job>(&kept).unwrap(), *job);
            }
            !jobs.is_empty()
        });
    }
}
