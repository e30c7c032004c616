//! `/openapi.json`: the routes of both listeners, for programs and for those who write them.
//!
//! Written by hand, because most of the proxy's bodies belong to others and are not ours to type. A test compares it
//! with the routes.

use axum::Router;
use axum::http::header;
use axum::routing::get;

use crate::server::Gateway;

/// The document, in version 3.1 of the standard.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], DOCUMENT) }))
}
