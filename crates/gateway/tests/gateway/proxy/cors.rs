//! Pages of other origins: none by default, those of `server.cors` with limits.

use reqwest::{Method, Response};
use wellspring_gateway::auth::{Permission, Token};

use crate::proxy::{CHAT, chat};
use crate::running::Running;

const PAGE: &str = "https://app.example";

async fn preflight(gateway: &Running, origin: &str) -> Response {
    let request = gateway.client.request(Method::OPTIONS, gateway.url(CHAT)).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    let request = request.header("access-control-request-headers", "authorization,x-stainless-lang");
    request.send().await.unwrap()
}

async fn ask(gateway: &Running, origin: &str, key: &str) -> Response {
    let request = gateway.client.post(gateway.url(CHAT)).json(&chat("Who?")).bearer_auth(key);
    request.header("origin", origin).send().await.unwrap()
}

fn allowed(response: &Response) -> Option<&str> {
    response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn no_page_is_let_in_by_default() {
    let gateway = Running::start().await;
    for response in [preflight(&gateway, PAGE).await, ask(&gateway, PAGE, "caller-key").await] {
        assert_eq!((response.status().as_u16(), allowed(&response)), (403, None));
    }
    assert_eq!(gateway.upstream.calls(), 0);
}

#[tokio::test]
async fn pages_that_are_listed_ask_and_read_errors_too() {
    let gateway = Running::with(|options| {
        // Browsers leave the default port out.
        options.cors = vec!["https://app.example:443".parse().unwrap()];
        options.limits.body_bytes = 1_000;
    })
    .await;
    let asked = preflight(&gateway, PAGE).await;
    assert_eq!((asked.status().as_u16(), allowed(&asked)), (200, Some(PAGE)));
    assert_eq!(asked.headers()["access-control-allow-headers"], "authorization,x-stainless-lang");
    assert_eq!(asked.headers()["access-control-allow-methods"], "POST");
    let answered = ask(&gateway, PAGE, "caller-key").await;
    assert_eq!((answered.status().as_u16(), allowed(&answered)), (200, Some(PAGE)));
    assert_eq!(answered.headers()["access-control-expose-headers"], "*");
    let failed = gateway.client.post(gateway.url(CHAT)).header("origin", PAGE).body("x".repeat(2_000));
    let failed = failed.send().await.unwrap();
    assert_eq!((failed.status().as_u16(), allowed(&failed)), (413, Some(PAGE)));
    for other in ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"] {
        assert_eq!(allowed(&preflight(&gateway, other).await), None, "{other}");
        let refused = ask(&gateway, other, "caller-key").await;
        assert_eq!((refused.status().as_u16(), allowed(&refused)), (403, None), "{other}");
    }
    // Administration is not open to other pages.
    let request = gateway.client.post(format!("http://{}/v1/documents/changed", gateway.admin));
    let refused = request.header("origin", PAGE).json(&serde_json::json!({})).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), allowed(&refused)), (403, None));
}

/// With all origins allowed, any page can send requests, so a token is required.
#[tokio::test]
async fn a_star_lets_in_whoever_has_a_token() {
    let open = Running::with(|options| options.cors = vec!["*".parse().unwrap()]).await;
    assert_eq!(ask(&open, PAGE, "caller-key").await.status(), 403);
    let gateway = Running::with(|options| {
        options.cors = vec!["*".parse().unwrap()];
        options.tokens = vec![Token::new("app", &[Permission::Fill], "app-token")];
        options.openai.api_key = Some("own-key".into());
    })
    .await;
    assert_eq!(allowed(&preflight(&gateway, PAGE).await), Some("*"));
    let answered = ask(&gateway, PAGE, "app-token").await;
    assert_eq!((answered.status().as_u16(), allowed(&answered)), (200, Some("*")));
}
