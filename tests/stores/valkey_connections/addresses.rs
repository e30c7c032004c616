//! Kinds of addresses, and users.

use std::net::TcpListener;

use wellspring::error::{ErrorKind, ServerFault};
use wellspring::store::ValkeyStore;

use crate::support::servers::{Flavour, Server};
use crate::support::valkey::{patient, shared_cluster_url};
use crate::support::{about, fill_all, serves};

async fn connect(url: &str) -> ValkeyStore {
    patient().connect(url).await.unwrap()
}

/// Stores an answer and looks it up.
async fn works(url: &str) {
    let store = connect(url).await;
    store.ping().await.unwrap();
    let entry = about("why", "a");
    fill_all(&store, std::slice::from_ref(&entry)).await;
    assert!(serves(&store, &entry).await, "{url}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_one_server_works() {
    let server = Server::start();
    let port = server.port();
    for url in [format!("valkey://127.0.0.1:{port}"), format!("redis://localhost:{port}/0")] {
        works(&url).await;
    }
    works(&format!("valkey+unix://{}", server.socket_path().display())).await;
    works(&format!("redis+unix://{}?db=1", server.socket_path().display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_do_not_see_each_other() {
    let server = Server::start();
    let one = connect(&format!("valkey://127.0.0.1:{}/1", server.port())).await;
    let two = connect(&format!("valkey://127.0.0.1:{}/2", server.port())).await;
    let entry = about("why", "a");
    fill_all(&one, std::slice::from_ref(&entry)).await;
    assert!(serves(&one, &entry).await);
    assert!(!serves(&two, &entry).await);
    assert_eq!(server.text(&["INFO", "keyspace"]).matches("db0:").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_works_where_the_system_has_it() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let server = Server::builder().config("bind", "127.0.0.1 ::1").start();
    works(&format!("valkey://[::1]:{}", server.port())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_in_and_none_is_ever_shown() {
    for flavour in Flavour::available() {
        let server = Server::builder().flavour(flavour).password("s3:c@r/t").start();
        let host = format!("127.0.0.1:{}", server.port());
        works(&format!("valkey://:s3%3Ac%40r%2Ft@{host}")).await;
        let message = async |url: String| {
            let store = connect(&url).await;
            let shown = format!("{store:?}");
            let error = store.ping().await.unwrap_err();
            assert_eq!(error.server_fault(), Some(ServerFault::Credentials));
            let error = error.to_string();
            assert!(!error.contains("hunter2") && !shown.contains("hunter2"), "{error} {shown}");
            error
        };
        let error = message(format!("valkey://wellspring:hunter2@{host}")).await;
        assert_eq!(error, format!("cannot reach valkey://wellspring:***@{host}: user or password is wrong"));
        let error = message(format!("valkey://{host}")).await;
        assert_eq!(error, format!("cannot reach valkey://{host}: it wants a password"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_says_that_a_password_is_wrong() {
    let url = shared_cluster_url().replace("://", "://wellspring:hunter2@");
    let error = connect(&url).await.ping().await.unwrap_err();
    assert_eq!((error.kind(), error.server_fault()), (ErrorKind::Config, Some(ServerFault::Credentials)));
    assert!(error.to_string().ends_with("user or password is wrong"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_named() {
    let server = Server::start();
    server.kill();
    let host = format!("127.0.0.1:{}", server.port());
    let error = connect(&format!("valkey://:hunter2@{host}")).await.ping().await.unwrap_err();
    assert_eq!(error.server_fault(), None);
    let error = error.to_string();
    assert!(error.starts_with(&format!("cannot reach valkey://:***@{host}: Connection refused")), "{error}");
}
