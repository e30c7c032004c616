//! An answer that is being made: received once, passed on as it comes, and stored if it came whole.
//!
//! It is received by a task of its own, so that an answer whose last piece the caller has read is stored although
//! the caller is gone. A caller who goes earlier ends the task, unless the gateway is told to finish answers.

use std::collections::VecDeque;
use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::api::Api;
use super::directives::Directives;
use super::followers::{End, Leading};
use super::recording::{EVENT_STREAM, Form, Recorder};
use super::reply::Forward;
use super::upstream::{Outgoing, passed_on};
use crate::cache::FillPermit;
use crate::server::error::Problem;
use crate::server::{Disconnected, Gateway, Price};

/// How many pieces wait for a caller who reads slowly. The upstream waits then.
const WAITING_PIECES: usize = 8;

/// An answer that is to be made.
pub(super) struct Making {
    pub(super) gateway: Gateway,
    pub(super) api: Api,
    pub(super) form: Form,
    pub(super) directives: Directives,
    pub(super) permit: FillPermit,
    pub(super) forward: Forward,
    pub(super) price: Option<Price>,
    /// Whether an answer that a limit of tokens cut off is kept.
    pub(super) keeps_incomplete: bool,
}

/// How receiving an answer ended.
enum Ended {
    Whole,
    Broken,
    /// The caller went first.
    Alone,
}

impl Making {
    /// Asks the upstream; returns its response, whose body is still to come.
    pub(super) async fn start(self, outgoing: Outgoing) -> Result<Response, Problem> {
        let (tell, told) = oneshot::channel();
        let caller_gone = CancellationToken::new();
        // Goes with this future, and then with the body that it returns.
        let guard = caller_gone.clone().drop_guard();
        let tasks = self.gateway.tasks().clone();
        tasks.spawn(self.run(outgoing, tell, caller_gone).in_current_span());
        let (mut response, mut pieces) = told.await.map_err(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the gateway failed on this request")
        })??;
        *response.body_mut() = Body::from_stream(futures::stream::poll_fn(move |context| {
            let _held = &guard;
            pieces.poll_recv(context)
        }));
        Ok(response)
    }

    async fn run(
        self,
        outgoing: Outgoing,
        tell: oneshot::Sender<Result<(Response, Pieces), Problem>>,
        caller_gone: CancellationToken,
    ) {
        let Self { gateway, api, form, directives, permit, forward, price, keeps_incomplete } = self;
        let is_patient = gateway.options().disconnected == Disconnected::Finish;
        let begun = form.is_stream.then(|| permit.begun(directives.dependencies())).flatten();
        let limit = gateway.options().limits.body_bytes;
        let leading = begun.map(|begun| gateway.followers().lead((permit.entry_id(), form), begun, limit));
        let gone = async || {
            if is_patient {
                std::future::pending::<()>().await;
            }
            caller_gone.cancelled().await;
            if let Some(leading) = &leading {
                leading.unfollowed().await;
            }
        };
        let response = tokio::select! {
            response = outgoing.send(&gateway) => response,
            // The permit goes with this task, and whoever waits for the answer asks anew.
            () = gone() => return,
        };
        let response = match response {
            Ok(response) => response,
            Err(problem) => {
                permit.decline();
                // A caller who is gone needs no answer.
                return drop(tell.send(Err(problem)));
            }
        };
        let mut recorder = recorder(&gateway, api, form, &response);
        let entry = recorder.is_some().then(|| permit.entry_id());
        let (send, pieces) = mpsc::channel(WAITING_PIECES);
        let mut passed = passed_on(&response, Body::empty());
        forward.tell(passed.headers_mut(), entry);
        let _ = tell.send(Ok((passed, pieces)));
        if recorder.is_none() {
            permit.decline();
            drop(leading);
            tokio::select! {
                _ = receive(response, None, &send, None) => {}
                () = caller_gone.cancelled(), if !is_patient => {}
            }
            return;
        }
        if let Some(leading) = &leading {
            leading.answers();
        }
        let ended = tokio::select! {
            biased;
            ended = receive(response, recorder.as_mut(), &send, leading.as_ref()) => ended,
            () = gone() => Ended::Alone,
        };
        drop(leading);
        // The caller need not wait for the store.
        drop(send);
        let kept = match ended {
            Ended::Broken => None,
            Ended::Whole | Ended::Alone => recorder.and_then(Recorder::finish),
        };
        let kept = kept.filter(|(summary, _)| keeps_incomplete || !summary.is_incomplete);
        match (kept, ended) {
            (Some((mut summary, metadata)), _) => {
                if let (Some(price), Some(usage)) = (price, &mut summary.usage) {
                    price.charge(usage);
                }
                let mut answer = directives.answer(summary.text, summary.usage, metadata);
                answer.negative |= summary.is_refusal;
                // What became of it is counted by the cache.
                drop(permit.fill(answer, directives.dependencies()).await);
            }
            // Whoever waits for it asks anew, one after the other.
            (None, Ended::Alone) => drop(permit),
            (None, _) => permit.decline(),
        }
    }
}

type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// Passes the body on, whoever is still there to read it.
async fn receive(
    mut response: reqwest::Response,
    mut recorder: Option<&mut Recorder>,
    send: &mpsc::Sender<io::Result<Bytes>>,
    leading: Option<&Leading>,
) -> Ended {
    // What has no room to wait for the caller. The upstream waits then, unless others follow: they need not wait for a
    // caller who does not read.
    let mut unread = VecDeque::new();
    let mut ended = None;
    loop {
        let goes_on = ended.is_none();
        let may_read = goes_on && (unread.is_empty() || leading.is_some_and(Leading::is_followed));
        tokio::select! {
            read = response.chunk(), if may_read => match read {
                Ok(Some(piece)) => {
                    if let Some(recorder) = &mut recorder {
                        recorder.push(&piece);
                    }
                    if let Some(leading) = leading {
                        leading.push(&piece);
                    }
                    unread.push_back(Ok(piece));
                }
                Ok(None) => {
                    ended = Some(Ended::Whole);
                    leading.inspect(|leading| leading.finish(End::Whole));
                }
                Err(error) => {
                    let error = error.without_url();
                    tracing::warn!(%error, "the upstream's answer broke off");
                    ended = Some(Ended::Broken);
                    leading.inspect(|leading| leading.finish(End::Broken));
                    // The caller's connection breaks off, too.
                    unread.push_back(Err(io::Error::other("the upstream's answer broke off")));
                }
            },
            place = send.reserve(), if !unread.is_empty() => match (place, unread.pop_front()) {
                (Ok(place), Some(piece)) => place.send(piece),
                // He has gone.
                _ => unread.clear(),
            },
            () = joined(leading), if goes_on && !may_read => {}
            else => return ended.unwrap_or(Ended::Broken),
        }
    }
}

async fn joined(leading: Option<&Leading>) {
    match leading {
        Some(leading) => leading.joined().await,
        None => std::future::pending().await,
    }
}

/// Records the response if it may be an answer.
fn recorder(gateway: &Gateway, api: Api, wanted: Form, response: &reqwest::Response) -> Option<Recorder> {
    let headers = response.headers();
    let is_plain = headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
    let is_as_wanted = is_stream(headers) == wanted.is_stream;
    let may_be_kept = response.status() == StatusCode::OK && is_plain && is_as_wanted;
    may_be_kept.then(|| Recorder::new(api, wanted, gateway.options().limits.recording_bytes))
}

fn is_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|media_type| media_type.trim_start().starts_with(EVENT_STREAM))
}
