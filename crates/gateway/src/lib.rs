//! The gateway: a proxy that answers from the cache, for any program that can change a base URL.
//!
//! There are two listeners. The public one serves the proxy. The other one serves those who run the gateway
//! and those who report changed documents. Webhooks may have a third. A failure of the cache never becomes
//! the caller's failure: the request then goes to the upstream. Callers' keys go to the upstream and nowhere
//! else: they are not logged, and are stored only as part of a hash.
//!
//! Routes for a new subject belong in a module of their own with a function `routes() -> Router<Gateway>`,
//! each under the [permission](auth::Permission) that it needs, and are merged in [`public_router`] or
//! [`admin_router`].

mod admin;
mod admission;
mod allowance;
pub mod auth;
mod body;
mod cache_api;
mod connections;
pub mod cors;
mod dashboard;
mod documents;
pub mod error;
mod extract;
mod header_fields;
mod health;
mod hosts;
mod identity;
pub mod limits;
pub mod listen;
mod listener;
mod openapi;
mod options;
mod own_headers;
pub mod permits;
mod price;
pub mod proxy;
pub mod rules;
mod state;
pub mod telemetry;
mod vendor;
pub mod webhooks;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;

pub use self::connections::raise_descriptors;
pub use self::health::StoreState;
pub use self::listen::{Listeners, Tls, serve};
pub use self::options::{Anonymous, Disconnected, Options, Sharing, Upstream};
pub use self::price::Price;
pub use self::state::Gateway;
use crate::auth::Permission;
use crate::listener::Listener;

/// What the public listener serves: the proxy, the cache itself and the health checks.
pub fn public_router(gateway: &Gateway) -> Router {
    let proxy = auth::requiring_any_body(proxy::routes(), Permission::Fill);
    let routes = proxy.merge(cache_api::routes()).merge(openapi::routes()).merge(health::routes());
    let router = finish(routes, gateway, Listener::Public);
    // Outermost, because a browser must be able to read errors too, and asks for permission before it shows a
    // token.
    match cors::layer(&gateway.options().cors) {
        Some(layer) => router.layer(layer),
        None => router,
    }
}

/// What the listener for administration and ingestion serves; this includes webhooks only if they have no
/// listener of their own.
pub fn admin_router(gateway: &Gateway, listeners: &Listeners) -> Router {
    let routes = documents::routes(gateway)
        .merge(cache_api::admin_routes())
        .merge(admin::routes())
        .merge(if listeners.webhooks.is_none() { webhooks::routes() } else { Router::new() })
        .merge(telemetry::routes())
        .merge(dashboard::routes())
        .merge(openapi::routes())
        .merge(health::routes());
    finish(routes, gateway, Listener::Admin)
}

/// What the listener of webhooks serves, where they have one of their own.
pub fn webhook_router(gateway: &Gateway) -> Router {
    finish(webhooks::routes().merge(health::routes()), gateway, Listener::Webhooks)
}

/// Wraps `routes` in what every request passes through: who is calling, then how much they may use.
fn finish(routes: Router<Gateway>, gateway: &Gateway, listener: Listener) -> Router {
    routes
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        // One layer of all: with a layer each, axum boxes the routes again at each, and every request clones
        // all that is in these boxes. The first is the outermost.
        .layer((
            from_fn(connections::in_place),
            from_fn(error::in_dialect),
            from_fn_with_state(gateway.clone(), telemetry::observe),
            CatchPanicLayer::custom(error::panicked),
            from_fn_with_state((gateway.clone(), listener), auth::identify),
            from_fn_with_state((gateway.clone(), listener), admission::admit),
        ))
        .with_state(gateway.clone())
}
