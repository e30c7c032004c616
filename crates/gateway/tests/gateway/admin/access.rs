//! Who may see and do what.

use wellspring_gateway::auth::{Permission, Token};

use crate::running::{Reply, Running};

#[tokio::test]
async fn each_route_needs_its_scope() {
    let gateway = Running::with(|options| {
        options.tokens = vec![
            Token::new("r", &[Permission::Read], "read"),
            Token::new("f", &[Permission::Fill], "fill"),
            Token::new("j", &[Permission::Feedback], "feedback"),
            Token::new("i", &[Permission::Invalidate], "invalidate"),
            Token::new("a", &[Permission::Admin], "admin"),
        ];
    })
    .await;
    let ask = async |method: &str, path: &str, token: Option<&str>| {
        let url = format!("http://{}{path}", gateway.admin);
        let mut request = gateway.client.request(method.parse().unwrap(), url).body("{}");
        if let Some(token) = token {
            request = request.header("wellspring-token", token);
        }
        Reply::of(request.send().await.unwrap()).await.status
    };
    for (method, path, scope) in [
        ("GET", "/metrics", "read"),
        ("GET", "/admin/overview", "read"),
        ("GET", "/admin/threshold", "read"),
        ("GET", "/admin/entries", "admin"),
        ("GET", "/admin/contents", "admin"),
        ("GET", "/admin/dependants?document=a", "admin"),
        ("GET", "/admin/log", "admin"),
        ("POST", "/admin/why", "admin"),
        ("GET", "/v1/cache/judgements", "admin"),
        ("POST", "/v1/cache/judgements/revoke", "admin"),
        ("POST", "/admin/invalidate", "invalidate"),
        ("POST", "/admin/hold", "invalidate"),
        ("POST", "/admin/release", "invalidate"),
    ] {
        assert_eq!(ask(method, path, None).await, 401, "{path}");
        assert_eq!(ask(method, path, Some("guessed")).await, 401, "{path}");
        for token in ["read", "fill", "feedback", "invalidate", "admin"] {
            let is_let_in = ask(method, path, Some(token)).await != 403;
            assert_eq!(is_let_in, token == scope || token == "admin", "{path} with {token}");
        }
    }
    // Which documents are being updated is content.
    gateway.cache.begin_update(&wellspring::Corpus::default(), "secret plan").await.unwrap();
    for (token, may_see) in [("read", false), ("admin", true)] {
        let request =
            gateway.client.get(gateway.admin_url("/admin/overview")).header("wellspring-token", token);
        let overview = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(overview.body.contains("secret plan"), may_see, "{}", overview.body);
        assert_eq!(overview.json()["store"]["corpora"][0]["holds"], 1);
    }
    // The page and its description reveal nothing about stored answers.
    for path in ["/", "/assets/app.js", "/openapi.json", "/healthz"] {
        assert_eq!(ask("GET", path, None).await, 200, "{path}");
    }
}
