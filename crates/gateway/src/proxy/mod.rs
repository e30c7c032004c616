//! The proxy: the APIs of OpenAI and Anthropic as their clients know them, answered from the cache.
//!
//! The upstream receives what the caller sent, byte for byte except for a field `wellspring`. The response is
//! passed on as it arrives, and kept as it was received once it is known to be complete.

mod api;
mod ask;
mod control;
mod directives;
mod embeddings;
mod followers;
mod header_directives;
mod held;
mod irrelevant;
pub(super) mod json;
mod own_key;
mod path;
mod question;
mod recording;
mod reply;
mod shapes;
mod sharing;
mod sse;
mod through;
mod upstream;
mod upstream_fill;
pub(super) mod writers;

use axum::Router;
use axum::routing::post;

#[cfg(test)]
pub(super) use self::directives::fields as directive_fields;
pub(super) use self::directives::{Directives, NO_TENANT, duration, is_tenant};
pub(super) use self::embeddings::Embeddings;
pub(super) use self::followers::Followers;
pub use self::irrelevant::HeaderPattern;
pub use self::own_key::PathPattern;
pub(super) use self::recording::RECORDING;
pub(super) use self::sharing::{header_label, holder, joined, tenant, token_label};
pub(super) use self::upstream::Upstreams;
use crate::Gateway;

pub(super) fn routes() -> Router<Gateway> {
    let through = through::pass_through;
    let mut routes = Router::new()
        .route("/v1/chat/completions", post(ask::ask).fallback(through))
        .route("/v1/completions", post(ask::ask).fallback(through))
        .route("/v1/responses", post(ask::ask).fallback(through))
        .route("/v1/messages", post(ask::ask).fallback(through))
        .route("/v1/embeddings", post(embeddings::embed).fallback(through))
        .merge(through::routes());
    // The same routes for clients whose base URL has no version, and in Azure's forms.
    for base in ["", "/openai/deployments/{deployment}", "/openai/v1", "/openai"] {
        for path in ["/chat/completions", "/completions", "/responses", "/messages"] {
            if path == "/messages" && !base.is_empty() {
                continue;
            }
            routes = routes.route(&format!("{base}{path}"), post(ask::ask).fallback(through));
        }
        routes = routes.route(&format!("{base}/embeddings"), post(embeddings::embed).fallback(through));
    }
    routes
}
