//! The description of the routes has all of them, and no others.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::admin::get;
use crate::running::{Reply, Running};

const METHODS: [&str; 6] = ["get", "post", "put", "delete", "patch", "options"];

/// A method, or `any`, and a path.
type Route = (String, String);

/// The routes in the sources of the server, which axum does not expose.
fn routes(folder: &Path, found: &mut BTreeSet<Route>) {
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            routes(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split(".route(").skip(1) {
                // What a macro fills in is checked where the macro is used.
                let Some(part) = part.trim_start().strip_prefix('"') else { continue };
                let (path, rest) = part.split_once('"').unwrap();
                add(path, upto_closing(rest), found);
            }
            for line in text.lines().filter(|line| line.contains("\" => \"")) {
                let path = line.trim().strip_prefix('"').and_then(|line| line.split('"').next());
                if let Some(path) = path.filter(|path| path.starts_with('/') && !path.starts_with("/assets/"))
                {
                    found.insert(("get".into(), path.to_owned()));
                }
            }
        }
    }
}

fn add(path: &str, handlers: &str, found: &mut BTreeSet<Route>) {
    let words: Vec<&str> =
        handlers.split(|letter: char| !letter.is_ascii_lowercase()).filter(|word| !word.is_empty()).collect();
    let named = METHODS
        .iter()
        .chain(&["any"])
        .filter(|method| words.contains(method) && handlers.contains(&format!("{method}(")));
    for method in named {
        found.insert(((*method).to_owned(), path.replace("{*", "{")));
    }
}

/// The text before the parenthesis that closes the open one.
fn upto_closing(text: &str) -> &str {
    let mut open = 1;
    let end = text.find(|letter| {
        open += i32::from(letter == '(') - i32::from(letter == ')');
        open == 0
    });
    &text[..end.unwrap()]
}

fn operations(document: &Value) -> BTreeSet<Route> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|key| METHODS.contains(&key.as_str()));
        found.extend(methods.map(|method| (method.clone(), path.clone())));
    }
    found
}

#[tokio::test]
async fn it_has_every_route_and_every_route_is_there() {
    let gateway = Running::start().await;
    let document = get(&gateway, "/openapi.json").await.json();
    let described = operations(&document);
    let mut served = BTreeSet::new();
    routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut served);
    assert!(served.len() > 20, "{served:?}");
    for (method, path) in &served {
        let is_there = match method.as_str() {
            "any" => described.iter().any(|(_, described)| described == path),
            _ => described.contains(&(method.clone(), path.clone())),
        };
        assert!(is_there, "{method} {path} is not described");
    }
    for (method, path) in &described {
        let is_served = served.contains(&(method.clone(), path.clone()))
            || served.contains(&("any".into(), path.clone()));
        assert!(is_served, "{method} {path} is described and not served");
    }
    // Each is served by the listener that the description names.
    for (method, path) in described {
        let is_admin = document["paths"][&path].get("servers").is_some();
        let address = if is_admin { gateway.admin } else { gateway.public };
        let url = format!("http://{address}{}", path.replace("{id}", "0").replace("{name}", "none"));
        let request = gateway.client.request(method.to_uppercase().parse().unwrap(), url).body("{}");
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert!(
            !reply.body.contains("\"no_route\"") && reply.status != 405,
            "{method} {path}: {}",
            reply.body
        );
    }
}

/// The fields that a body may have, and those that it has in one form only.
fn described_fields(document: &Value, schema: &Value) -> BTreeSet<String> {
    let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    let schema = reference.map_or(schema, |reference| document.pointer(reference).unwrap());
    let forms = schema["anyOf"].as_array().into_iter().flatten();
    let properties = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    forms.flat_map(|form| described_fields(document, form)).chain(properties).collect()
}

#[tokio::test]
async fn it_has_the_fields_that_bodies_have() {
    let gateway = Running::start().await;
    let document = get(&gateway, "/openapi.json").await.json();
    let mut compared = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let schema = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
        if !schema.is_object() || path.contains("{name}") {
            continue;
        }
        let described = described_fields(&document, schema);
        let address = if item.get("servers").is_some() { gateway.admin } else { gateway.public };
        let url = format!("http://{address}{}", path.replace("{id}", "0"));
        // Including the fields that are read before the others.
        let mut named = BTreeSet::new();
        for body in [
            json!({ "?": 1 }),
            json!({ "?": 1, "id": "d" }),
            json!({ "?": 1, "question": "q", "answer": "a", "permit": "p" }),
        ] {
            let reply = Reply::of(gateway.client.post(&url).json(&body).send().await.unwrap()).await;
            let Some((_, listed)) = reply.body.split_once("unknown field `?`, expected") else { continue };
            named.extend(listed.split('`').skip(1).step_by(2).map(str::to_owned));
        }
        let missing: Vec<_> = named.difference(&described).collect();
        assert!(missing.is_empty(), "{path} lacks {missing:?}");
        if !named.is_empty() {
            compared.push(path.as_str());
        }
    }
    for path in ["/v1/documents/changed", "/v1/cache/put", "/v1/cache/clear", "/admin/why"] {
        assert!(compared.contains(&path), "{path} lists no fields: {compared:?}");
    }
}

#[tokio::test]
async fn its_references_lead_somewhere_and_its_names_are_unique() {
    let gateway = Running::start().await;
    let document = get(&gateway, "/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut open = vec![&document];
    let mut ids = BTreeSet::new();
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
        }
        if let Some(id) = value.get("operationId").and_then(Value::as_str) {
            assert!(ids.insert(id.to_owned()), "{id} comes twice");
        }
        match value {
            Value::Object(fields) => open.extend(fields.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}
