//! What callers do to harm others, against the gateway on real sockets: none of it may succeed.

mod bodies;
mod confirmations;
mod connections;
mod deliveries;
mod floods;
mod identity;
mod ids;
mod paths;
mod sharing;
mod strangers;
mod trust;
mod writers;

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends `request` as it stands; the status of the response, and all of it. For what no client library would send.
async fn raw(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    let response = String::from_utf8_lossy(&response).into_owned();
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no response: {response:?}")), response)
}
