//! `/openapi.json`: the routes of both listeners, for programs and for those who write them.
//!
//! Written by hand, because most of the proxy's bodies belong to other APIs and are not ours to type. A test
//! compares it with the routes.

use axum::Router;
use axum::http::header;
use axum::routing::get;

use crate::Gateway;

/// The document, in version 3.1 of the standard.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], DOCUMENT) }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::DOCUMENT;
    use crate::proxy::directive_fields;
    use crate::{header_fields, own_headers};

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// The names of the headers that `operation` takes.
    fn headers_of(document: &Value, operation: &Value) -> BTreeSet<String> {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let resolved = parameters.map(|parameter| {
            let reference = parameter["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
            reference.map_or(parameter, |reference| document.pointer(reference).unwrap())
        });
        let headers = resolved.filter(|parameter| parameter["in"] == "header");
        headers.map(|header| header["name"].as_str().unwrap().to_ascii_lowercase()).collect()
    }

    #[test]
    fn every_header_for_the_gateway_is_described_where_it_is_heard() {
        let document = document();
        for path in
            ["/chat/completions", "/completions", "/responses", "/messages", "/cache/lookup", "/cache/put"]
        {
            let described = headers_of(&document, &document["paths"][format!("/v1{path}")]["post"]);
            let missing: Vec<_> = header_fields::names().filter(|name| !described.contains(*name)).collect();
            assert!(missing.is_empty(), "{path} lacks {missing:?}");
            let known: BTreeSet<&str> = own_headers::known().collect();
            let own = described.iter().filter(|name| name.starts_with("wellspring-"));
            let unknown: Vec<_> = own.filter(|name| !known.contains(name.as_str())).collect();
            assert!(unknown.is_empty(), "{path} has {unknown:?}");
        }
        let text = DOCUMENT.to_ascii_lowercase();
        for name in own_headers::known() {
            assert!(text.contains(&format!("\"{name}\"")), "{name} is not described");
        }
    }

    #[test]
    fn every_field_for_the_gateway_is_described() {
        let document = document();
        let fields: BTreeSet<String> = directive_fields().into_iter().collect();
        for schema in ["Directives", "Lookup", "Fill", "Put"] {
            let properties = document["components"]["schemas"][schema]["properties"].as_object().unwrap();
            let described: BTreeSet<String> = properties.keys().cloned().collect();
            assert!(described.is_superset(&fields), "{schema} lacks {:?}", fields.difference(&described));
            assert!(schema != "Directives" || described == fields, "{:?}", described.difference(&fields));
        }
    }
}
