//! The page loads only its own files.

use crate::admin::get;
use crate::running::Running;

/// The files that `text` names.
fn named(text: &str) -> Vec<&str> {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted.filter(|name| name.starts_with("/assets/") || name.starts_with("./")).collect()
}

#[tokio::test]
async fn it_is_served_whole_under_a_strict_policy_and_asks_nobody_else() {
    let gateway = Running::start().await;
    let mut open = vec!["/".to_owned()];
    let mut seen = Vec::new();
    while let Some(path) = open.pop() {
        let reply = get(&gateway, &path).await;
        assert_eq!(reply.status, 200, "{path}");
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        // The name of a language, not an address.
        let text = reply.body.replace("http://www.w3.org/2000/svg", "");
        for address in ["http://", "https://", "url(", "@import", "innerHTML", "eval("] {
            assert!(!text.contains(address), "{path} has {address}");
        }
        if path == "/" {
            for inline in [" onclick=", " style=", "<style", "<script>"] {
                assert!(!text.contains(inline), "the page has {inline}");
            }
        }
        for name in named(&text) {
            let name = name.replace("./", "/assets/");
            if !seen.contains(&name) && !open.contains(&name) {
                open.push(name);
            }
        }
        seen.push(path);
    }
    assert!(seen.len() > 10, "{seen:?}");
}
