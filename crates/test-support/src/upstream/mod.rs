//! Upstreams that behave like the real APIs, and fail like them. The name of the model decides how.
//!
//! `good` answers; `long` sends 30 MB of comments before its stream; `same` says the same each time, whole;
//! `tools` calls a tool; `slow` pauses between pieces; `held` sends half of a stream, and everything else
//! once it is [released](Upstream::release); `cut` ends a stream early without notice; `abort` ends the
//! connection; `error-event` sends an error in the stream; `filtered` is cut by a filter; `429` and `500`
//! fail; `garbage` sends no JSON; `gpt-…` and `claude-…` act like the real models ([`agent`]). If a request
//! has the field `recorded`, its content is the answer, unchanged: its `stream` (several `times`), its
//! `text`, or its `whole`.

mod agent;
mod wire;

pub use agent::text;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

/// How long a slow upstream pauses before each piece.
pub const PAUSE: Duration = Duration::from_millis(40);

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An upstream that runs until the test's runtime ends.
#[derive(Debug, Clone)]
pub struct Upstream {
    address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<Vec<Seen>>,
    /// How many pieces were sent, over all streams.
    pieces: AtomicUsize,
    /// How many streams are open.
    open: AtomicUsize,
    /// Whether held answers may go on.
    released: watch::Sender<bool>,
}

impl Inner {
    async fn released(&self) {
        drop(self.released.subscribe().wait_for(|released| *released).await);
    }
}

impl Upstream {
    pub async fn start() -> Self {
        let inner = Arc::new(Inner::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .route("/v1/completions", post(answer))
            .route("/v1/responses", post(answer))
            .route("/v1/messages", post(answer))
            .route("/v1/messages/count_tokens", post(tokens))
            .route("/v1/embeddings", post(embeddings))
            .route("/v1/openai/deployments/{name}/chat/completions", post(answer))
            .route("/v1/openai/deployments/{name}/embeddings", post(embeddings))
            .route("/v1/openai/v1/chat/completions", post(answer))
            .route("/v1/openai/v1/responses", post(answer))
            .route("/v1/openai/v1/embeddings", post(embeddings))
            .route("/v1/openai/responses", post(answer))
            .route("/v1/models", get(models))
            .fallback(unknown)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, inner }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        self.inner.seen.lock().unwrap().len()
    }

    pub fn pieces(&self) -> usize {
        self.inner.pieces.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.inner.open.load(Ordering::SeqCst)
    }

    /// Lets all held answers go on, also later ones.
    pub fn release(&self) {
        self.inner.released.send_replace(true);
    }
}

async fn models(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap) -> Response {
    note(&inner, &uri, &headers, &Bytes::new());
    axum::Json(json!({ "object": "list", "data": [{ "id": "good", "object": "model", "owned_by": "x", "created": 1 }] }))
        .into_response()
}

async fn unknown(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    note(&inner, &uri, &headers, &body);
    let error = json!({ "error": { "message": "there is no such thing", "type": "invalid_request_error" } });
    (StatusCode::NOT_FOUND, axum::Json(error)).into_response()
}

fn no_json() -> Response {
    let error =
        json!({ "error": { "message": "could not parse the JSON body", "type": "invalid_request_error" } });
    (StatusCode::BAD_REQUEST, axum::Json(error)).into_response()
}

async fn embeddings(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let number = note(&inner, &uri, &headers, &body);
    let Ok(request) = serde_json::from_slice::<Value>(&body) else { return no_json() };
    if let Some(recorded) = request.get("recorded") {
        return replayed(&inner, recorded, false);
    }
    let inputs = request["input"].as_array().map_or(1, Vec::len);
    let data: Vec<_> = (0..inputs)
        .map(|index| json!({ "object": "embedding", "index": index, "embedding": vector(&request, number) }))
        .collect();
    let body = json!({
        "object": "list", "model": request["model"], "data": data,
        "usage": { "prompt_tokens": 2, "total_tokens": 2 },
    });
    if request["model"] == "held" {
        let _ = inner.released.subscribe().wait_for(|released| *released).await;
    }
    if request["model"] == "slow" {
        tokio::time::sleep(PAUSE).await;
        // In pieces, and therefore without a length.
        let pieces = body.to_string().into_bytes();
        let pieces: Vec<_> =
            pieces.chunks(97).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>).collect();
        let mut response = Response::new(Body::from_stream(futures::stream::iter(pieces)));
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        return response;
    }
    axum::Json(body).into_response()
}

/// A vector in the requested format. The model `lists` knows only one format.
fn vector(request: &Value, number: usize) -> Value {
    if request["encoding_format"] == "base64" && request["model"] != "lists" {
        let bytes: Vec<u8> = [number as f32, 0.5].into_iter().flat_map(f32::to_le_bytes).collect();
        return BASE64_STANDARD.encode(bytes).into();
    }
    json!([number as f64, 0.5])
}

async fn tokens(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    note(&inner, &uri, &headers, &body);
    axum::Json(json!({ "input_tokens": 11 })).into_response()
}

fn note(inner: &Inner, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> usize {
    let mut seen = inner.seen.lock().unwrap();
    seen.push(Seen { path: uri.to_string(), headers: headers.clone(), body: body.clone() });
    seen.len()
}

async fn answer(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let number = note(&inner, &uri, &headers, &body);
    let Ok(request) = serde_json::from_slice::<Value>(&body) else { return no_json() };
    let model = request["model"].as_str().unwrap_or_default().to_owned();
    if let Some(recorded) = request.get("recorded") {
        return replayed(&inner, recorded, request["stream"] == true);
    }
    match model.as_str() {
        "429" => return failure(StatusCode::TOO_MANY_REQUESTS),
        "500" => return failure(StatusCode::INTERNAL_SERVER_ERROR),
        "garbage" => return "not JSON".into_response(),
        _ => {}
    }
    if model == "slow" {
        tokio::time::sleep(PAUSE).await;
    }
    if request["stream"] != true {
        if model == "held" {
            inner.released().await;
        }
        let mut response = axum::Json(wire::whole(uri.path(), &request, number)).into_response();
        response.headers_mut().insert("x-request-id", format!("req-{number}").parse().unwrap());
        return response;
    }
    let mut pieces = wire::stream(uri.path(), &request, number);
    if model == "long" {
        let comment = Bytes::from(format!(": {}\n\n", "x".repeat(64 << 10)));
        pieces.splice(0..0, std::iter::repeat_n(comment, 480));
    }
    if matches!(model.as_str(), "cut" | "abort") {
        pieces.truncate(pieces.len() / 2);
    }
    if model == "error-event" {
        pieces.pop();
        let error =
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": "overloaded" } });
        pieces.push(format!("event: error\ndata: {error}\n\n").into());
        pieces.push("data: [DONE]\n\n".into());
    }
    stream(&inner, pieces, &model)
}

/// If the other form was recorded, the answer is empty.
fn replayed(inner: &Arc<Inner>, recorded: &Value, is_stream: bool) -> Response {
    if is_stream {
        let times = usize::try_from(recorded["times"].as_u64().unwrap_or(1)).unwrap();
        let text = recorded["stream"].as_str().unwrap_or("data: [DONE]\n\n").repeat(times);
        // So that a long stream does not take long.
        let size = 97.max(text.len() / 500);
        return stream(inner, text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect(), "");
    }
    let text = recorded["text"].as_str().map_or_else(|| recorded["whole"].to_string(), str::to_owned);
    ([("content-type", "application/json")], text).into_response()
}

fn stream(inner: &Arc<Inner>, pieces: Vec<Bytes>, model: &str) -> Response {
    inner.open.fetch_add(1, Ordering::SeqCst);
    let open = Open(Arc::clone(inner));
    let (is_slow, is_abort, is_held) = (model == "slow", model == "abort", model == "held");
    let half = pieces.len() / 2;
    let stream = futures::stream::unfold(
        (pieces.into_iter(), open, false),
        move |(mut pieces, open, over)| async move {
            if over {
                return None;
            }
            // So that pieces arrive separately.
            tokio::time::sleep(if is_slow { PAUSE } else { Duration::from_millis(1) }).await;
            if is_held && pieces.len() <= half {
                open.0.released().await;
            }
            match pieces.next() {
                Some(piece) => {
                    open.0.pieces.fetch_add(1, Ordering::SeqCst);
                    Some((Ok(piece), (pieces, open, false)))
                }
                None if is_abort => Some((Err(std::io::Error::other("abort")), (pieces, open, true))),
                None => None,
            }
        },
    );
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert("content-type", "text/event-stream; charset=utf-8".parse().unwrap());
    response
}

struct Open(Arc<Inner>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn failure(status: StatusCode) -> Response {
    let body = json!({ "type": "error", "error": { "message": "no", "type": "rate_limit_error", "code": "slow_down" } });
    let headers = [("retry-after", "7"), ("x-request-id", "req-failed"), ("x-ratelimit-remaining", "0")];
    (status, headers, axum::Json(body)).into_response()
}
