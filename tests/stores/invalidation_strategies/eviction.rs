//! LRU and LFU: what the server evicts when it is full.

use wellspring::{Cache, Change, Dependency, FillOutcome, Lookup};

use crate::invalidation_strategies::{change, exactly, process};
use crate::support::servers::{Flavour, Server};

on_every_server!(volatile_lfu, allkeys_lru, noeviction);

const DOCUMENTS: usize = 2_000;
/// With its answer of 4 KB each, about twice what the server may hold.
const MAX_MEMORY: &str = "6mb";

async fn volatile_lfu(flavour: Flavour) {
    assert!(full_server(flavour, "volatile-lfu").await > 0, "it goes on caching");
}

async fn allkeys_lru(flavour: Flavour) {
    assert!(full_server(flavour, "allkeys-lru").await > 0, "it goes on caching");
}

async fn noeviction(flavour: Flavour) {
    // Nothing frees space, so nothing more is stored; served answers are as new as ever.
    full_server(flavour, "noeviction").await;
}

/// Fills the server far beyond its memory while documents change; how many hits there were after it was full. Every
/// one must be as new as its document.
async fn full_server(flavour: Flavour, policy: &str) -> usize {
    let server = Server::builder()
        .flavour(flavour)
        .config("maxmemory", MAX_MEMORY)
        .config("maxmemory-policy", policy)
        .start();
    let (one, two) = (process(&server).await, process(&server).await);
    let mut versions = vec![0_u32; DOCUMENTS];
    for document in 0..DOCUMENTS {
        ask(&one, document, &versions).await;
    }
    if policy == "noeviction" {
        assert!(server.info("used_memory").unwrap().parse::<u64>().unwrap() > 5 << 20);
    } else {
        assert_ne!(server.info("evicted_keys").as_deref(), Some("0"));
    }
    let mut hits = 0;
    let mut random = 1_usize;
    for round in 0..4_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = random >> 33;
        // Some are asked for much more often than others.
        let document = if draw.is_multiple_of(2) { draw / 2 % 50 } else { draw / 2 % DOCUMENTS };
        if round % 5 == 0 {
            versions[document] += 1;
            change(&one, &[Change::document(document.to_string())]).await;
        }
        hits += usize::from(ask(&two, document, &versions).await);
    }
    hits
}

/// Whether the answer came from the cache. One that did must be of the document's present version.
async fn ask(cache: &Cache, document: usize, versions: &[u32]) -> bool {
    let version = versions[document].to_string();
    match cache.lookup(exactly(&format!("question {document}"))).await.unwrap() {
        Lookup::Hit(hit) => {
            let text = &hit.answer().text;
            assert_eq!(text.trim_end(), version, "stale: document {document}");
            true
        }
        Lookup::Miss(permit) => {
            let answer = format!("{version:<4096}");
            let outcome = permit.fill(answer, vec![Dependency::document(document.to_string())]).await;
            assert!(!matches!(outcome, FillOutcome::Declined(_)), "{outcome:?}");
            false
        }
        // A server without room for a clock cannot vouch for anything.
        _ => false,
    }
}
