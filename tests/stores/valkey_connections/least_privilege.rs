//! The rules that `docs/valkey.md` gives a user: enough for everything, and none too many.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::Value;
use wellspring::key::ScopeId;
use wellspring::store::{
    ChangeListener, Claim, ClaimEnd, Coordination as _, Freshness, Severity, Store, ValkeyOptions,
    ValkeyStore,
};
use wellspring::{Change, Corpus, Dependency, Embedding, Entry, EntryId};

use crate::support::servers::{Flavour, ReplicaPair, Server};
use crate::support::valkey::{cluster_url, patient, shared_cluster};
use crate::support::{SCOPE, entry, eventually};

const GUIDE: &str = include_str!("../../../docs/valkey.md");
const USER: &str = "wellspring";
const PASSWORD: &str = "s3cret";

/// The words after `ACL SETUSER wellspring` in the guide.
fn documented() -> Vec<String> {
    let (_, rules) = GUIDE.split_once("ACL SETUSER wellspring ").unwrap();
    let (rules, _) = rules.split_once("```").unwrap();
    let words = rules.split_whitespace().map(|word| word.trim_matches('\'')).filter(|word| *word != "\\");
    words.map(|word| word.replace("PASSWORD", PASSWORD)).collect()
}

fn commands(rules: &[String]) -> Vec<String> {
    rules.iter().filter(|rule| rule.starts_with('+')).cloned().collect()
}

fn create_user(server: &Server, rules: &[String]) {
    let words = ["ACL", "SETUSER", USER].into_iter().chain(rules.iter().map(String::as_str));
    server.command(&words.collect::<Vec<_>>());
    server.command(&["ACL", "LOG", "RESET"]);
}

/// What the user was denied since it was created.
fn denied(server: &Server) -> BTreeSet<String> {
    let Value::Array(entries) = server.command(&["ACL", "LOG"]) else { panic!("no list") };
    let object = |entry: Value| {
        let fields: Vec<(String, Value)> = match entry {
            Value::Map(pairs) => pairs
                .into_iter()
                .map(|(name, value)| (redis::from_redis_value(name).unwrap(), value))
                .collect(),
            Value::Array(items) => items
                .chunks_exact(2)
                .map(|pair| (redis::from_redis_value(pair[0].clone()).unwrap(), pair[1].clone()))
                .collect(),
            other => panic!("no entry: {other:?}"),
        };
        let object = fields.into_iter().find(|(name, _)| name == "object").unwrap().1;
        redis::from_redis_value(object).unwrap()
    };
    entries.into_iter().map(object).collect()
}

#[derive(Default)]
struct Heard(AtomicUsize);

impl ChangeListener for Heard {
    fn removed(&self, _: &[(EntryId, ScopeId)]) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn stored(&self, _: &Corpus, _: ScopeId, _: EntryId, _: &Embedding) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn options() -> ValkeyOptions {
    // What is denied is denied at once; what is not answers soon.
    let options =
        patient().invalidate_timeout(Duration::from_millis(500)).replica_timeout(Duration::from_secs(2));
    options.buckets(2).claim_life(Duration::from_secs(5))
}

fn with_vector(question: &str, dependencies: Vec<Dependency>) -> Entry {
    Entry { embedding: Some(Embedding::new(&[0.6, 0.8]).unwrap()), ..entry(question, dependencies) }
}

/// Everything that a cache does with its store. Failures do not matter here: the server's log has what is denied.
async fn live(url: &str, server: &Server) {
    let corpus = Corpus::default();
    let Ok(store) = options().connect(url).await else { return };
    let Ok(other) = options().freshness(Freshness::Bounded(Duration::from_secs(1))).connect(url).await else {
        return;
    };
    let heard = Arc::new(Heard::default());
    other.listen(Arc::clone(&heard) as _);
    let _ = store.ping().await;
    let _ = other.follow(&corpus).await;
    // The servers forget scripts when they restart.
    server.command(&["SCRIPT", "FLUSH"]);

    let read = vec![Dependency::document_version("a", "v1"), Dependency::Tag("t".into())];
    let first = with_vector("first", read.clone());
    for entry in
        [&first, &with_vector("second", read), &with_vector("first", vec![Dependency::document("a")])]
    {
        let Ok((fetched, claim)) = store.lookup_or_claim(&corpus, entry.id).await else { break };
        let _ = store.fill(fetched.read_version, Arc::new(entry.clone())).await;
        if let Claim::Granted(token) = claim {
            let _ = store.renew_claim(&corpus, entry.id, token).await;
            store.end_claim(&corpus, entry.id, token, ClaimEnd::Released);
        }
    }
    // So many that a script leaves some of them to be drained.
    for n in 0..40 {
        let many = with_vector(&n.to_string(), vec![Dependency::document("a")]);
        let Ok(fetched) = store.lookup(&corpus, many.id).await else { break };
        let _ = store.fill(fetched.read_version, Arc::new(many)).await;
    }
    if let Ok(Claim::Granted(token)) = store.claim(&corpus, EntryId::from_bytes([9; 16])).await {
        store.end_claim(&corpus, EntryId::from_bytes([9; 16]), token, ClaimEnd::Unshared);
    }
    let _ = other.lookup(&corpus, first.id).await;
    store.record_hit(&corpus, first.id);
    let _ = store.status().await;
    let _ = store.scan(None, 10).await;
    let _ = store.scope_page(&corpus, SCOPE, None).await;
    let _ = store.embeddings(&corpus, &[first.id]).await;
    let _ = store.dependants(&corpus, &Change::document_version("a", "v1")).await;
    let _ = store.begin_update(&corpus, "a").await;
    let _ = store.end_update(&corpus, "a", Some("v2".into())).await;
    let _ = store.invalidate(&corpus, &[Change::document_version("a", "v3"), Change::Tag("t".into())]).await;
    let _ = store.invalidate(&corpus, &[Change::Everything]).await;
    // It waits until what was invalidated is cleaned away.
    let _ = store.status().await;
    // If following is denied, no notification arrives.
    eventually("what changed is heard, or following is denied", async || {
        heard.0.load(Ordering::Relaxed) >= 2 || !denied(server).is_empty()
    })
    .await;
    let _ = (store.close().await, other.close().await);
}

fn url(server: &Server) -> String {
    format!("valkey://{USER}:{PASSWORD}@127.0.0.1:{}", server.port())
}

/// The rules that `diagnose` finds missing.
async fn diagnosed(store: &ValkeyStore) -> BTreeSet<String> {
    let findings = store.diagnose().await.unwrap();
    let problems = findings.into_iter().filter(|finding| finding.severity == Severity::Problem);
    problems
        .filter_map(|finding| finding.remedy)
        .filter(|remedy| remedy.starts_with("ACL SETUSER"))
        .flat_map(|remedy| remedy.split(' ').skip(3).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Each rule in turn is left out: if this is not noticed, the rule is unnecessary.
async fn the_rules_suffice_and_each_is_needed(flavour: Flavour) {
    let pair = ReplicaPair::start_with(|server| server.flavour(flavour));
    let server = &pair.primary;
    let rules = documented();
    create_user(server, &rules);
    live(&url(server), server).await;
    assert_eq!(denied(server), BTreeSet::new(), "{flavour:?}");
    let store = options().connect(&url(server)).await.unwrap();
    assert_eq!(diagnosed(&store).await, BTreeSet::new());

    for rule in commands(&rules) {
        let fewer: Vec<String> = rules.iter().filter(|other| **other != rule).cloned().collect();
        server.command(&["FLUSHALL"]);
        create_user(server, &fewer);
        let name = rule.trim_start_matches('+');
        // A machine that is busy may answer nothing in time, and then nothing is denied.
        let mut attempts = 0..5;
        while !denied(server).contains(name) {
            assert!(attempts.next().is_some(), "{flavour:?}: nothing needs {rule}: {:?}", denied(server));
            live(&url(server), server).await;
        }
        // Only a bounded freshness takes tracking.
        let is_tracking = rule == "+client|tracking";
        let freshness =
            if is_tracking { Freshness::Bounded(Duration::from_secs(1)) } else { Freshness::Validated };
        let store = options().freshness(freshness).connect(&url(server)).await.unwrap();
        if rule == "+info" {
            // Without it, no one can recognise a primary.
            assert!(store.ping().await.is_err());
        } else {
            assert_eq!(diagnosed(&store).await, BTreeSet::from([rule.clone()]), "{flavour:?}");
        }
    }
    for (rule, missing) in
        [("~wellspring:*", "~wellspring:*"), ("&wellspring:invalidations", "&wellspring:invalidations")]
    {
        let fewer: Vec<String> = rules.iter().filter(|other| *other != rule).cloned().collect();
        create_user(server, &fewer);
        let store = options().connect(&url(server)).await.unwrap();
        assert_eq!(diagnosed(&store).await, BTreeSet::from([missing.to_owned()]), "{flavour:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_preferred_flavour_the_rules_suffice_and_each_is_needed() {
    the_rules_suffice_and_each_is_needed(Flavour::preferred()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_others_too() {
    for flavour in Flavour::available().into_iter().skip(1) {
        the_rules_suffice_and_each_is_needed(flavour).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_two_more() {
    let cluster = shared_cluster();
    let mut rules = documented();
    rules.extend(["+cluster|slots".to_owned(), "+asking".to_owned()]);
    for node in cluster.nodes() {
        create_user(node, &rules);
    }
    let url = cluster_url(cluster).replace("://", &format!("://{USER}:{PASSWORD}@"));
    live(&url, &cluster.nodes()[0]).await;
    for node in cluster.nodes() {
        // With it, the library sends its name, which is not needed.
        let mut denied = denied(node);
        denied.remove("client|setinfo");
        assert_eq!(denied, BTreeSet::new());
    }
    let store = options().connect(&url).await.unwrap();
    assert_eq!(diagnosed(&store).await, BTreeSet::new());
}
