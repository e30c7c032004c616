//! An answer that is being made: received once, passed on as it arrives, and stored if it is complete.
//!
//! A separate task receives it, so that an answer is stored once the caller has read its last piece, even if
//! the caller has then gone. A caller that goes earlier ends the task, unless the gateway is configured to
//! finish answers. A caller that reads slowly does not make others wait: an answer that may be kept is
//! received as fast as it comes, and as soon as it is too long to be kept, others stop waiting for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use wellspring::cache::FillPermit;
use wellspring::key::ShownId;

use super::api::Api;
use super::directives::Directives;
use super::followers::{End, Leading, TOO_SLOW};
use super::recording::{EVENT_STREAM, Form, Recorder};
use super::reply::Forward;
use super::shapes::Summary;
use super::upstream::{Outgoing, passed_on};
use crate::error::Problem;
use crate::limits::RequestLimits;
use crate::{Disconnected, Gateway, Price};

/// How many bytes may wait for a caller that reads slowly, whatever the size limit of kept answers. Beyond
/// it, the upstream waits.
const LEAST_ROOM: usize = 64 << 10;
const MOST_ROOM: usize = 1 << 30;

/// An answer that is to be made.
pub(super) struct UpstreamFill {
    pub(super) gateway: Gateway,
    pub(super) api: Api,
    pub(super) form: Form,
    pub(super) directives: Directives,
    pub(super) permit: FillPermit,
    /// The id of the entry that callers are shown, if they are shown one.
    pub(super) shown: Option<ShownId>,
    pub(super) forward: Forward,
    pub(super) price: Option<Price>,
    /// Whether the answer is to be JSON.
    pub(super) wants_json: bool,
    /// Whether an answer that a token limit cut off is kept.
    pub(super) keeps_incomplete: bool,
}

/// How receiving an answer ended.
enum Ended {
    Whole,
    Broken,
    /// The caller left before the end.
    Alone,
    /// It continues, and is too long to be kept.
    TooLong,
}

impl UpstreamFill {
    /// Asks the upstream; returns its response, whose body is still to come.
    pub(super) async fn start(self, outgoing: Outgoing) -> Result<Response, Problem> {
        let (sender, receiver) = oneshot::channel();
        let caller_gone = CancellationToken::new();
        // Dropped with this future, and later with the body that it returns.
        let guard = caller_gone.clone().drop_guard();
        let tasks = self.gateway.tasks().clone();
        tasks.spawn(self.run(outgoing, sender, caller_gone).in_current_span());
        let (mut response, mut pieces) = receiver.await.map_err(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the gateway failed on this request")
        })??;
        *response.body_mut() = Body::from_stream(futures::stream::poll_fn(move |context| {
            let _held = &guard;
            // Dropping the permit here frees the room that the piece took.
            pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(|(piece, _)| piece)))
        }));
        Ok(response)
    }

    async fn run(
        self,
        outgoing: Outgoing,
        sender: oneshot::Sender<Result<(Response, Pieces), Problem>>,
        caller_gone: CancellationToken,
    ) {
        let Self {
            gateway,
            api,
            form,
            directives,
            permit,
            shown,
            forward,
            price,
            wants_json,
            keeps_incomplete,
        } = self;
        let is_patient = gateway.options().disconnected == Disconnected::Finish;
        let pending_fill = form.is_stream.then(|| permit.pending_fill(directives.dependencies())).flatten();
        let limit = gateway.options().limits.body_bytes;
        let leading = pending_fill
            .map(|pending_fill| gateway.followers().lead((permit.entry_id(), form), pending_fill, limit));
        let no_one_reads = async || {
            caller_gone.cancelled().await;
            if let Some(leading) = &leading {
                leading.unfollowed().await;
            }
        };
        let gone = async || {
            if is_patient {
                std::future::pending::<()>().await;
            }
            no_one_reads().await;
        };
        let response = tokio::select! {
            response = outgoing.send(&gateway) => response,
            // The permit is dropped with this task, and the callers that wait for the answer ask again.
            () = gone() => return,
        };
        let mut response = match response {
            Ok(response) => response,
            Err(problem) => {
                permit.decline();
                // A caller who is gone needs no answer.
                return drop(sender.send(Err(problem)));
            }
        };
        let mut recorder = recorder(&gateway, api, form, &response);
        let may_be_kept = recorder.is_some();
        let limits = &gateway.options().limits;
        let (send, pieces) = Sending::new(limits);
        let mut passed = passed_on(&response, Body::empty());
        forward.write_headers(passed.headers_mut(), may_be_kept, shown, Some(permit.since()));
        let _ = sender.send(Ok((passed, pieces)));
        if recorder.is_none() {
            permit.decline();
            drop(leading);
            tokio::select! {
                _ = receive(&mut response, None, &send, None) => {}
                () = caller_gone.cancelled() => {}
            }
            return;
        }
        if let Some(leading) = &leading {
            leading.answers();
        }
        let ended = tokio::select! {
            biased;
            ended = receive(&mut response, recorder.as_mut(), &send, leading.as_ref()) => ended,
            () = gone() => Ended::Alone,
        };
        if matches!(ended, Ended::TooLong) {
            permit.decline();
            tokio::select! {
                _ = receive(&mut response, None, &send, leading.as_ref()) => {}
                () = no_one_reads() => {}
            }
            return;
        }
        drop(leading);
        // The caller need not wait for the store.
        drop(send);
        let kept = match ended {
            Ended::Broken | Ended::TooLong => None,
            Ended::Whole | Ended::Alone => recorder.and_then(Recorder::finish),
        };
        let is_usable = |summary: &Summary| {
            (keeps_incomplete || !summary.is_incomplete) && !(wants_json && lacks_json(summary))
        };
        let kept = kept.filter(|(summary, _)| is_usable(summary));
        match (kept, ended) {
            (Some((mut summary, metadata)), _) => {
                if let (Some(price), Some(usage)) = (price, &mut summary.usage) {
                    price.charge(usage);
                }
                let mut answer = directives.answer(summary.text, summary.usage, metadata);
                answer.negative |= summary.is_refusal;
                // The cache counts the outcome.
                drop(permit.fill(answer, directives.dependencies()).await);
            }
            // The callers that wait for it ask again, one after the other.
            (None, Ended::Alone) => drop(permit),
            (None, _) => permit.decline(),
        }
    }
}

type Piece = io::Result<(Bytes, Option<OwnedSemaphorePermit>)>;
type Pieces = mpsc::UnboundedReceiver<Piece>;

/// The pieces on their way to the caller.
struct Sending {
    pieces: mpsc::UnboundedSender<Piece>,
    /// How many more bytes may wait for the caller: as many as are kept, so that receiving an answer to be
    /// kept never waits for the caller.
    room: Arc<Semaphore>,
    /// How many bytes more while others read the same stream and must not wait.
    more: Arc<Semaphore>,
    most: u32,
    /// How long a piece waits for room.
    patience: Duration,
}

impl Sending {
    fn new(limits: &RequestLimits) -> (Self, Pieces) {
        let most = limits.recording_bytes.clamp(LEAST_ROOM, MOST_ROOM);
        let (pieces, received) = mpsc::unbounded_channel();
        let (room, more) = (Semaphore::new(most), Semaphore::new(limits.body_bytes.min(MOST_ROOM)));
        let (room, more, most) = (Arc::new(room), Arc::new(more), u32::try_from(most).unwrap_or(u32::MAX));
        (Self { pieces, room, more, most, patience: limits.write_timeout }, received)
    }

    /// Sends a piece when there is room. Returns whether there was room in time, or at once if others follow;
    /// a caller that has gone counts as taking everything.
    async fn send(&self, piece: Bytes, is_followed: bool) -> bool {
        let bytes = u32::try_from(piece.len()).unwrap_or(u32::MAX).min(self.most);
        let room = Arc::clone(&self.room);
        let room = if is_followed {
            room.try_acquire_many_owned(bytes)
                .or_else(|_| Arc::clone(&self.more).try_acquire_many_owned(bytes))
                .ok()
        } else {
            tokio::time::timeout(self.patience, room.acquire_many_owned(bytes))
                .await
                .ok()
                .and_then(Result::ok)
        };
        let is_sent = room.is_some();
        if let Some(room) = room {
            let _ = self.pieces.send(Ok((piece, Some(room))));
        }
        is_sent
    }

    /// Breaks off the caller's connection too.
    fn break_off(&self, why: &'static str) {
        let _ = self.pieces.send(Err(io::Error::other(why)));
    }
}

/// Passes the body on while anyone is there to read it; if it is recorded, only as long as it is short enough
/// to be kept.
async fn receive(
    response: &mut reqwest::Response,
    mut recorder: Option<&mut Recorder>,
    send: &Sending,
    leading: Option<&Leading>,
) -> Ended {
    let finish = |end| leading.inspect(|leading| leading.finish(end));
    let mut is_read = true;
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                if let Some(recorder) = &mut recorder {
                    recorder.push(&piece);
                }
                if let Some(leading) = leading {
                    leading.push(&piece);
                }
                let is_too_long = recorder.as_ref().is_some_and(|recorder| recorder.is_too_long());
                if is_too_long {
                    // Other callers are released before the task waits for this caller.
                    let _ = send.pieces.send(Ok((piece, None)));
                    return Ended::TooLong;
                }
                let is_followed = leading.is_some_and(Leading::is_followed);
                if is_read && !send.send(piece, is_followed).await {
                    send.break_off(TOO_SLOW);
                    is_read = false;
                }
                if !is_read && !is_followed {
                    return Ended::Broken;
                }
            }
            Ok(None) => {
                finish(End::Whole);
                return Ended::Whole;
            }
            Err(error) => {
                let error = error.without_url();
                tracing::warn!(%error, "the upstream's answer broke off");
                finish(End::Broken);
                send.break_off("the upstream's answer broke off");
                return Ended::Broken;
            }
        }
    }
}

/// Whether an answer that should be JSON is not. Several JSON values in a row are accepted, and so is the
/// fence that some models put around JSON. A client that cannot read the answer may send the very same
/// request again.
fn lacks_json(summary: &Summary) -> bool {
    let text = summary.text.trim();
    let fenced = text.strip_prefix("```json").or(text.strip_prefix("```"));
    let text = fenced.and_then(|rest| rest.strip_suffix("```")).unwrap_or(text);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    !summary.is_refusal && !summary.calls_tools && values.any(|value| value.is_err())
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
