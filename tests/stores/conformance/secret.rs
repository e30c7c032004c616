//! The secret that a store keeps.

use wellspring::Store;
use wellspring::store::Limits;

use crate::support::{Bench, Kind};

on_every_store!(the_first_secret_that_is_offered_is_kept);

async fn the_first_secret_that_is_offered_is_kept(bench: Bench) {
    let store = bench.open(Limits::default());
    let offers = futures::future::join_all((0..8).map(|n| store.secret([n; 32]))).await;
    let kept = *offers[0].as_ref().unwrap();
    assert!(offers.iter().all(|offer| *offer.as_ref().unwrap() == kept), "{offers:?}");
    assert_eq!(store.secret([9; 32]).await.unwrap(), kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_outlives_the_process() {
    let bench = Bench::new(Kind::Embedded);
    let store = bench.embedded(Limits::default());
    assert_eq!(store.secret([1; 32]).await.unwrap(), [1; 32]);
    store.close().await.unwrap();
    assert!(store.secret([2; 32]).await.is_err());
    drop(store);
    assert_eq!(bench.embedded(Limits::default()).secret([2; 32]).await.unwrap(), [1; 32]);
}
