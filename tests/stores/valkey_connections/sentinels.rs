//! A primary that sentinels name.

use std::time::Duration;

use wellspring::store::{Found, Store};
use wellspring::{Change, Corpus};

use crate::support::servers::{Failover, Sentinels};
use crate::support::valkey::patient;
use crate::support::{about, eventually, fill_all, serves};

/// Follows the primary, and serves nothing that was invalidated before it changed.
async fn survives(how: Failover) {
    let group = Sentinels::start(1);
    let hosts: Vec<String> =
        group.urls().iter().map(|url| url.trim_start_matches("redis://").to_owned()).collect();
    let url = format!("valkey-sentinel://{}/{}", hosts.join(","), Sentinels::SERVICE);
    let store = patient().command_timeout(Duration::from_secs(2)).connect(&url).await.unwrap();
    let (stays, goes) = (about("what stays", "a"), about("what goes", "b"));
    fill_all(&store, &[stays.clone(), goes.clone()]).await;
    store.invalidate(&Corpus::default(), &[Change::document("b")]).await.unwrap();
    assert!(serves(&store, &stays).await && !serves(&store, &goes).await);

    group.failover(how);
    eventually("the store has found the new primary", async || {
        match store.lookup(&goes.corpus, goes.id).await {
            Ok(fetched) => {
                assert!(!matches!(fetched.found, Found::Live(_)), "an invalidated answer came back");
                true
            }
            Err(_) => false,
        }
    })
    .await;
    // The old primary may turn writes away only a moment after the new one is known.
    eventually("answers are stored again", async || {
        let Ok(fetched) = store.lookup(&stays.corpus, stays.id).await else { return false };
        store.fill(fetched.read_version, stays.clone().into()).await.is_ok()
    })
    .await;
    eventually("answers are served again", async || {
        matches!(store.lookup(&stays.corpus, stays.id).await.map(|fetched| fetched.found), Ok(Found::Live(_)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_failover_is_followed() {
    survives(Failover::Manual).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_is_replaced() {
    survives(Failover::KillPrimary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_sentinel_knows_is_reported() {
    let group = Sentinels::start(1);
    let host = group.urls()[0].trim_start_matches("redis://").to_owned();
    let store = patient().connect(&format!("valkey-sentinel://{host}/nobody")).await.unwrap();
    let error = store.ping().await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot reach valkey-sentinel://{host}/nobody: ")), "{error}");
}
