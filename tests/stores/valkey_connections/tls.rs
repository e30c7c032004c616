//! Encrypted connections. No test here chooses a cryptography provider, as most programs do not.

use wellspring::Error;
use wellspring::error::{ErrorKind, ServerFault};
use wellspring::store::{ValkeyOptions, ValkeyStore};

use crate::support::servers::{Flavour, Server, Tls};
use crate::support::valkey::patient;
use crate::support::{about, fill_all, serves};

async fn connect(options: ValkeyOptions, server: &Server) -> ValkeyStore {
    options.connect(&format!("valkeys://127.0.0.1:{}", server.port())).await.unwrap()
}

/// Why the server cannot be reached.
async fn refusal(options: ValkeyOptions, server: &Server) -> Error {
    connect(options, server).await.ping().await.unwrap_err()
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
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");
        let expected = (ErrorKind::Config, Some(ServerFault::UnknownAuthority));
        assert_eq!((error.kind(), error.server_fault()), expected);
        // The system's authorities did not sign it either.
        let error = refusal(patient(), &server).await;
        assert!(error.to_string().contains("certificate"), "{error}");
        assert_eq!((error.kind(), error.server_fault()), expected);
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
async fn a_certificate_for_another_name_is_a_fault_of_its_own() {
    // Its certificate is for the first address only.
    let server = Server::builder().tls().config("bind", "127.0.0.1 127.0.0.2").start();
    let store = patient().tls_ca(server.tls().ca.as_str());
    let store = store.connect(&format!("valkeys://127.0.0.2:{}", server.port())).await.unwrap();
    let error = store.ping().await.unwrap_err();
    let expected = (ErrorKind::Unavailable, Some(ServerFault::Certificate));
    assert_eq!((error.kind(), error.server_fault()), expected, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_is_not_taken_for_encryption() {
    let server = Server::builder().tls().start();
    let store = patient().connect(&format!("valkey://127.0.0.1:{}", server.port())).await.unwrap();
    assert!(store.ping().await.is_err());
}
