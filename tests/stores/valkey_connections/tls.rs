//! Encrypted connections. No test here chooses a cryptography provider, as most programs do not.

use wellspring::store::{ValkeyOptions, ValkeyStore};

use crate::support::servers::{Flavour, Server, Tls};
use crate::support::valkey::patient;
use crate::support::{about, fill_all, serves};

async fn connect(options: ValkeyOptions, server: &Server) -> ValkeyStore {
    options.connect(&format!("valkeys://127.0.0.1:{}", server.port())).await.unwrap()
}

/// Why the server cannot be reached.
async fn refusal(options: ValkeyOptions, server: &Server) -> String {
    connect(options, server).await.ping().await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted_and_a_stranger_is_not() {
    let stranger = Tls::generate();
    for flavour in Flavour::available() {
        let server = Server::builder().flavour(flavour).tls().start();
        let store = connect(patient().tls_ca(server.tls().ca.as_str()), &server).await;
        let entry = about("why", "a");
        fill_all(&store, std::slice::from_ref(&entry)).await;
        assert!(serves(&store, &entry).await);

        let error = refusal(patient().tls_ca(stranger.ca.as_str()), &server).await;
        assert!(error.contains("invalid peer certificate"), "{error}");
        // The system's authorities did not sign it either.
        let error = refusal(patient(), &server).await;
        assert!(error.contains("certificate"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_demands_a_certificate_is_shown_one() {
    let server = Server::builder().tls().config("tls-auth-clients", "yes").start();
    let (tls, stranger) = (server.tls(), Tls::generate());
    let trusting = || patient().tls_ca(tls.ca.as_str());
    let known = trusting().tls_client(tls.client_certificate.as_str(), tls.client_key.as_str());
    connect(known, &server).await.ping().await.unwrap();
    refusal(trusting(), &server).await;
    let unknown = trusting().tls_client(stranger.client_certificate.as_str(), stranger.client_key.as_str());
    refusal(unknown, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_is_not_taken_for_encryption() {
    let server = Server::builder().tls().start();
    let store = patient().connect(&format!("valkey://127.0.0.1:{}", server.port())).await.unwrap();
    assert!(store.ping().await.is_err());
}
