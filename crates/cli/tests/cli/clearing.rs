//! Removing answers by tenant, parameters, namespace or age.

use serde_json::json;
use wellspring::key::TenantId;
use wellspring::{EmbeddedStore, Selection, Store};
use wellspring_gateway::Sharing;

use crate::sandbox::Sandbox;

/// Question and scope of each answer that is stored.
const ALL: [&[&str]; 7] = [
    &["plain"],
    &["acme", "--tenant", "acme"],
    &["acme turbo", "--tenant", "acme", "--param", "model=turbo", "--param", "t=2"],
    &["acme turbo, personal", "--tenant", "acme", "--param", "model=turbo", "--private"],
    &["turbo", "--param", "model=turbo", "--param", "t=2"],
    &["faq", "--namespace", "docs:faq"],
    &["maps", "--corpus", "maps"],
];

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    for args in ALL {
        let (question, scope) = args.split_first().unwrap();
        sandbox.run(&[&["put", question, "an answer"], scope].concat()).code(0);
    }
    sandbox
}

#[test]
fn answers_go_by_what_they_belong_to() {
    let sandbox = filled();
    let clear = |flags: &[&str]| sandbox.json(&[&["clear"], flags].concat(), 0);
    for none in [
        &["--tenant", "acme", "--corpus", "maps"][..],
        &["--param", "model=turbo"],
        &["--tenant", "acme", "--param", "model=turbo", "--param", "t=1"],
        &["--older-than", "1h"],
        &["--namespace", "docs:other"],
        &["--tenant", "other"],
        &["--scope", "00000000000000000000000000000000"],
        &["--caller", "ci"],
    ] {
        let report = clear(&[none, &["--yes"]].concat());
        assert_eq!(report, json!({ "looked_at": 7, "matched": 0, "removed": 0 }), "{none:?}");
    }
    let listed = sandbox.json(&["list"], 0);
    let maps =
        listed["entries"].as_array().unwrap().iter().find(|entry| entry["question"] == "maps").unwrap();
    let mut left = 7;
    for (flags, expected) in [
        (&["--param", "t=2", "--param", "model=turbo"][..], 1),
        (&["--tenant", "acme", "--param", "model=turbo", "--private"], 1),
        (&["--tenant", "acme"], 2),
        (&["--namespace", "docs"], 1),
        (&["--corpus", "maps", "--scope", maps["scope"].as_str().unwrap()], 1),
        (&["--older-than", "0s"], 1),
    ] {
        let dry = clear(&[flags, &["--dry-run"]].concat());
        assert_eq!(dry, json!({ "looked_at": left, "matched": expected, "removed": 0 }), "{flags:?}");
        let report = clear(&[flags, &["--yes"]].concat());
        assert_eq!(
            report,
            json!({ "looked_at": left, "matched": expected, "removed": expected }),
            "{flags:?}"
        );
        left -= expected;
    }
    for args in ALL {
        sandbox.run(&[&["get"], args].concat()).code(1);
    }
}

#[test]
fn nothing_goes_without_being_named_and_confirmed() {
    let sandbox = filled();
    for (flags, reported) in [
        (&[][..], "give --corpus"),
        (&["--yes"], "invalidate --everything"),
        (&["--tenant", "acme"], "add --yes"),
        (&["--private", "--yes"], "--param"),
        (&["--param", "a=1", "--scope", "00000000000000000000000000000000", "--yes"], "cannot be used with"),
        (&["--older-than", "old", "--yes"], "--older-than"),
    ] {
        let refused = sandbox.run(&[&["clear"], flags].concat()).code(2);
        assert!(refused.stderr.contains(reported), "{flags:?}: {}", refused.stderr);
    }
    let counted = sandbox.run(&["clear", "--tenant", "acme", "--dry-run"]).code(0);
    assert_eq!(counted.stdout, "3 answers would be removed, of 7\n");
    // A gateway would have hashed the tenant together with the caller.
    assert!(counted.stderr.contains("add --caller"), "{}", counted.stderr);
    let counted = sandbox.run(&["clear", "--caller", "ci", "--tenant", "acme", "--dry-run"]).code(0);
    assert!(!counted.stderr.contains("--caller"), "{}", counted.stderr);
    let text = sandbox.run(&["clear", "--tenant", "acme", "--yes"]).code(0).stdout;
    assert!(text.starts_with("3 answers removed in "), "{text}");
    let shared = sandbox.run(&["clear", "--caller", "ci", "--yes"]);
    assert!(shared.code(0).stdout.starts_with("0 answers removed"));
    sandbox.write("wellspring.toml", b"server.sharing = \"shared\"\n");
    let shared = sandbox.run(&["clear", "--caller", "ci", "--yes"]).code(2);
    assert!(shared.stderr.contains("name a tenant, not a caller"), "{}", shared.stderr);
}

/// A gateway keeps answers under tenants that it makes up, whose names no one could type.
#[tokio::test]
async fn a_caller_and_a_tenant_are_named_as_the_gateway_knows_them() {
    let sandbox = Sandbox::new();
    let of_callers = Sharing::Key.tenant(Some("ci"), None).unwrap().unwrap();
    let of_callers_tenant = Sharing::Key.tenant(Some("ci"), Some("acme")).unwrap().unwrap();
    let of_all = Sharing::Shared.tenant(None, Some("acme")).unwrap().unwrap();
    for tenant in [&of_callers, &of_callers_tenant, &of_all, "acme"] {
        sandbox.run(&["put", "a question", "an answer", "--tenant", tenant]).code(0);
    }
    let clear = |flags: &[&str]| sandbox.json(&[&["clear", "--yes"], flags].concat(), 0)["removed"].clone();
    assert_eq!(clear(&["--caller", "ci", "--tenant", "other"]), 0);
    assert_eq!(clear(&["--caller", "ci", "--tenant", "acme"]), 1);
    assert_eq!(clear(&["--tenant", "acme"]), 2);
    let store = EmbeddedStore::open(sandbox.path("wellspring.redb")).unwrap();
    let left = store.scan(None, 10).await.unwrap();
    let mut selection = Selection::default();
    selection.tenants = Some(vec![TenantId::of(&of_callers)]);
    assert!(left.len() == 1 && selection.has(&left[0].entry, left[0].entry.created_at));
    store.close().await.unwrap();
    drop(store);
    assert_eq!(clear(&["--caller", "ci"]), 1);
}
