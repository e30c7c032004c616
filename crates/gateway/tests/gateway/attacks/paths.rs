//! Paths that lead an upstream out of its base URL, with the gateway's own key.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::raw;
use crate::running::Running;

async fn send(gateway: &Running, method: &str, path: &str) -> u16 {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    raw(gateway.public, head.as_bytes()).await.0
}

async fn lent_key() -> Running {
    Running::with(|options| options.openai.api_key = Some("own-key".into())).await
}

#[tokio::test]
async fn a_dot_segment_reaches_no_upstream_however_it_is_written() {
    let gateway = lent_key().await;
    for step in ["..", "%2e%2e", ".%2E", "%252e%252e", "..%2f..", "..\\..", "%5c..", "..;x", "."] {
        for (method, path) in [
            ("DELETE", format!("/v1/responses/{step}/files/f")),
            ("GET", format!("/v1/models/{step}/{step}/v1/organization/x")),
            ("GET", format!("/v1/models/{step}")),
            ("POST", format!("/v1/responses/r/{step}/{step}/files")),
        ] {
            assert_eq!(send(&gateway, method, &path).await, 400, "{method} {path}");
        }
    }
    for path in ["/v1/models//x", "/v1/models/x//y", "/v1/models/x/"] {
        assert_eq!(send(&gateway, "GET", path).await, 400, "{path}");
    }
    assert_eq!(gateway.upstream.calls(), 0);
    assert_eq!(send(&gateway, "GET", "/v1/models/org%2Fname").await, 404);
    let seen = &gateway.upstream.seen()[0];
    assert_eq!(
        (seen.path.as_str(), &seen.headers["authorization"]),
        ("/v1/models/org%2Fname", &"Bearer own-key".parse().unwrap())
    );
}

/// What a server may make of a path: decoded to its end, with steps up taken.
fn resolved(path: &str) -> Vec<String> {
    let mut text = path.split('?').next().unwrap().to_owned();
    loop {
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            break;
        }
        text = decoded;
    }
    let mut segments = Vec::new();
    for segment in text.replace('\\', "/").split('/') {
        match segment.split(';').next().unwrap() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment.to_owned()),
        }
    }
    segments
}

#[test]
fn whatever_the_path_is_the_upstream_is_asked_below_its_base() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let gateway = runtime.block_on(lent_key());
    let piece = prop::sample::select(vec![
        ".",
        "..",
        "/",
        "\\",
        "%2e",
        "%2E",
        "%2f",
        "%5c",
        "%25",
        "%252e",
        ";",
        "a",
        "models",
        "responses",
        "v1",
        "?",
        "%00",
        "//",
        "~",
    ]);
    let path = (
        prop::sample::select(vec!["/v1/models/", "/v1/responses/", "/v1/", "/"]),
        prop::collection::vec(piece, 0..8),
    );
    let mut runner = TestRunner::new(ProptestConfig::with_cases(300));
    runner
        .run(&path, |(start, pieces)| {
            let path = format!("{start}{}", pieces.concat());
            let before = gateway.upstream.calls();
            let status = runtime.block_on(send(&gateway, "GET", &path));
            prop_assert!((200..500).contains(&status), "{path}: {status}");
            for seen in &gateway.upstream.seen()[before..] {
                let resolved = resolved(&seen.path);
                let route = resolved.get(1).map(String::as_str);
                prop_assert!(
                    resolved[0] == "v1" && matches!(route, Some("models" | "responses")),
                    "{path}: {resolved:?}"
                );
                prop_assert!(seen.path.starts_with("/v1/"), "{path}: {}", seen.path);
            }
            Ok(())
        })
        .unwrap();
    assert!(gateway.upstream.calls() > 0, "no path reached the upstream");
}
