//! The page at `/`: only its own files, nothing from any other place.
//!
//! The page itself reveals nothing, so it needs no token; the data that it requests does.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::Gateway;

/// No inline scripts or styles, no other origin, and no page may frame this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal => $file:literal as $media_type:expr,)*) => {
        pub(super) fn routes() -> Router<Gateway> {
            Router::new()$(.route($path, get(|| async { file($media_type, include_str!($file)) })))*
        }
    };
}

files! {
    "/" => "index.html" as HTML,
    "/assets/style.css" => "style.css" as CSS,
    "/assets/views.css" => "views.css" as CSS,
    "/assets/icon.svg" => "icon.svg" as SVG,
    "/assets/app.js" => "app.js" as SCRIPT,
    "/assets/api.js" => "api.js" as SCRIPT,
    "/assets/dom.js" => "dom.js" as SCRIPT,
    "/assets/charts.js" => "charts.js" as SCRIPT,
    "/assets/overview.js" => "overview.js" as SCRIPT,
    "/assets/answers.js" => "answers.js" as SCRIPT,
    "/assets/documents.js" => "documents.js" as SCRIPT,
    "/assets/explorer.js" => "explorer.js" as SCRIPT,
    "/assets/threshold.js" => "threshold.js" as SCRIPT,
    "/assets/log.js" => "log.js" as SCRIPT,
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        // The next version of the program may have other content under the same names.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = (headers, text).into_response();
    let own = HeaderValue::from_static("same-origin");
    response.headers_mut().insert(HeaderName::from_static("cross-origin-resource-policy"), own);
    response
}
