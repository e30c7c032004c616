//! `/v1/cache`: the cache itself, for pipelines that ask it before they retrieve.
//!
//! A lookup is a hit, or a miss with a permit; the caller that makes the answer gives the permit back with
//! it. Operations on answers of any caller are on the listener of administration.

mod batch;
mod clearing;
mod entries;
mod feedback;
mod fill;
mod judgements;
mod lookup;
mod putting;
pub(super) mod view;

use axum::Router;
use axum::routing::{get, post};

use crate::Gateway;
use crate::auth::{self, Permission};

/// The routes on the public listener.
pub(super) fn routes() -> Router<Gateway> {
    let reading = Router::new()
        .route("/v1/cache/lookup", post(lookup::lookup))
        .route("/v1/cache/lookup/batch", post(batch::lookup))
        .route("/v1/cache/why", post(lookup::why));
    let fill = Router::new()
        .route("/v1/cache/fill", post(fill::fill))
        .route("/v1/cache/fill/batch", post(batch::fill))
        .route("/v1/cache/put", post(putting::put))
        .route("/v1/cache/put/batch", post(batch::put));
    let judging = Router::new().route("/v1/cache/feedback", post(feedback::feedback));
    auth::requiring(reading, Permission::Read)
        .merge(auth::requiring(fill, Permission::Fill))
        .merge(auth::requiring(judging, Permission::Feedback))
}

/// The routes on the listener of administration.
pub(super) fn admin_routes() -> Router<Gateway> {
    let looking = Router::new()
        .route("/v1/cache/entries", get(entries::list))
        .route("/v1/cache/entries/{id}", get(entries::one));
    let judged = Router::new()
        .route("/v1/cache/judgements", get(judgements::list))
        .route("/v1/cache/judgements/revoke", post(judgements::revoke));
    let removing = Router::new()
        .route("/v1/cache/entries/{id}", axum::routing::delete(entries::remove))
        .route("/v1/cache/clear", post(clearing::clear));
    auth::requiring(looking.merge(judged), Permission::Admin)
        .merge(auth::requiring(removing, Permission::Invalidate))
}
