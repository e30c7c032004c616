//! The proxy: the APIs of OpenAI and Anthropic as their clients know them, answered from the cache.
//!
//! What goes upstream is what the caller sent, byte for byte but for a field `wellspring`; what comes back is
//! passed on as it comes, and kept as it came once it is known to be whole.

mod embeddings;
mod upstream;

use axum::Router;

pub(super) use self::embeddings::Embeddings;
pub(super) use self::upstream::Upstreams;
use crate::server::Gateway;

pub(super) fn routes() -> Router<Gateway> {
    upstream::routes()
}
