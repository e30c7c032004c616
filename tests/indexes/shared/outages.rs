//! What a process learns after it was cut off for a while.

use super::*;
use crate::support::servers::Proxy;

/// The events of the default corpus.
const STREAM: &str = "wellspring:x:{default}";

/// A process that sees the server through `proxy`.
async fn behind(proxy: &Proxy) -> Process {
    let store = patient_now().connect(&proxy.url()).await.unwrap();
    let embedder = Arc::new(WordEmbedder::default());
    let builder = Cache::builder_from(Arc::clone(&embedder) as _, Arc::new(store));
    Process { cache: builder.similarity_threshold(0.8).build().await.unwrap(), embedder }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_while_it_was_cut_off_is_found() {
    let server = Server::start();
    let proxy = Proxy::start(server.port());
    let (one, other) = (Process::start(&server).await, behind(&proxy).await);
    assert_eq!(other.finds(NEAR).await, None);
    other.cache.wait_idle().await.unwrap();
    proxy.cut();
    one.answer(ASKED, "a").await;
    proxy.heal();
    other.comes_to_find(NEAR, ANSWER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_the_stream_is_noticed() {
    let server = Server::start();
    let proxy = Proxy::start(server.port());
    let (one, other) = (Process::start(&server).await, behind(&proxy).await);
    one.answer("what is the capital of norway", "n").await;
    other
        .comes_to_find("what is the capital of norway then", "answer to what is the capital of norway")
        .await;
    for lose in [vec!["XTRIM", STREAM, "MAXLEN", "0"], vec!["DEL", STREAM]] {
        proxy.cut();
        let events = || -> u64 { redis::from_redis_value(server.command(&["XLEN", STREAM])).unwrap() };
        let before = events();
        one.answer(ASKED, "a").await;
        // The event goes with it, and later ones come after it.
        eventually("the event is there", async || events() > before).await;
        server.command(&lose);
        one.answer("how do i reset the password of my account", "b").await;
        proxy.heal();
        other.comes_to_find(NEAR, ANSWER).await;
        one.invalidate("a").await;
        one.invalidate("b").await;
        assert_eq!(other.finds(NEAR).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_everything_was_lost_it_goes_on() {
    let server = Server::start();
    let (one, other) = (Process::start(&server).await, Process::start(&server).await);
    one.answer(ASKED, "a").await;
    other.comes_to_find(NEAR, ANSWER).await;
    server.command(&["FLUSHALL"]);
    assert_eq!(other.finds(NEAR).await, None);
    one.answer(ASKED, "a").await;
    other.comes_to_find(NEAR, ANSWER).await;
}
