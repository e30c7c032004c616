//! A web service with axum that answers from the cache, keeps its answers on disk, and takes reports of changes.
//!
//! ```sh
//! make setup    # once: fetches the library that runs the embedding model
//! cargo run --example service -- /tmp/answers.redb
//! curl localhost:3000/ask -H 'Content-Type: application/json' -d '{"tenant": "acme", "question": "When do you open?"}'
//! curl localhost:3000/changed -H 'Content-Type: application/json' -d '["hours.md"]'
//! ```
//!
//! Ctrl-C ends it. `wellspring serve` is a complete service of this kind.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::env;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use wellspring::embed::OnnxEmbedder;
use wellspring::{BoxError, Cache, Change, Corpus, Dependency, EmbeddedStore, Query, Scope};

#[derive(Deserialize)]
struct Asked {
    question: String,
    tenant: String,
}

#[derive(Serialize)]
struct Answered {
    answer: String,
    is_hit: bool,
    sources: Vec<Dependency>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let path = env::args().nth(1).ok_or("name the file that holds the answers")?;
    let cache = Cache::builder(OnnxEmbedder::bundled()?, EmbeddedStore::open(path)?).build().await?;
    let service =
        Router::new().route("/ask", post(ask)).route("/changed", post(changed)).with_state(cache.clone());
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let end = async {
        tokio::signal::ctrl_c().await.ok();
    };
    axum::serve(listener, service).with_graceful_shutdown(end).await?;
    cache.close().await?;
    Ok(())
}

/// Answers a question. If the client goes away, the answer is dropped, and someone who waits for it makes it.
async fn ask(State(cache): State<Cache>, Json(asked): Json<Asked>) -> Result<Json<Answered>, StatusCode> {
    // An answer to one tenant is never served to another. Take the tenant from whatever authenticates the client.
    let query = Query::new(asked.question).scope(Scope::new().tenant(asked.tenant));
    let served = cache.get_or_fill(query, async |miss| pipeline(&miss.question).await).await;
    let served = served.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let sources = match &served.origin {
        wellspring::Origin::Hit(hit) => hit.dependencies().to_vec(),
        _ => Vec::new(),
    };
    Ok(Json(Answered { is_hit: served.is_hit(), answer: served.answer.text.to_string(), sources }))
}

/// Ends the answers that depend on the documents; 503 asks the caller to report them again.
async fn changed(
    State(cache): State<Cache>,
    Json(documents): Json<Vec<String>>,
) -> Result<String, StatusCode> {
    let changes: Vec<_> = documents.into_iter().map(Change::document).collect();
    match cache.invalidate(&Corpus::default(), &changes).await {
        Ok(done) => Ok(format!("{} answers are gone\n", done.dropped())),
        Err(error) if error.is_invalid_input() => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Stands in for retrieval and an LLM, see the example `rag`.
async fn pipeline(question: &str) -> Result<(String, [Dependency; 1]), BoxError> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok((format!("You asked: {question}"), [Dependency::document("hours.md")]))
}
