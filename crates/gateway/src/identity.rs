//! Who a request counts for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request};

use crate::Gateway;
use crate::auth::{Caller, Permission, Token, sha256};

tokio::task_local! {
    /// Whose request the task serves.
    pub(super) static SERVED: Served;
}

/// What the limits of one caller need to know of it.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) identity: Identity,
    pub(super) may_invalidate: bool,
    pub(super) is_admin: bool,
}

impl Served {
    pub(super) fn of(gateway: &Gateway, request: &Request) -> Self {
        let may = |permission| match request.extensions().get::<Caller>() {
            Some(caller) if caller.token.is_some() => caller.may(permission),
            // Without tokens, only this machine is served.
            _ => gateway.tokens().is_empty(),
        };
        Self {
            identity: Identity::of(request),
            may_invalidate: may(Permission::Invalidate),
            is_admin: may(Permission::Admin),
        }
    }
}

/// The identity whose rate counts: the token if it is known, else the address. A caller can change anything
/// that no one has checked, such as the upstream's key, as often as it likes.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    Token(Token),
    Address(Option<IpAddr>),
}

impl Identity {
    pub(super) fn of(request: &Request) -> Self {
        if let Some(Caller { token: Some(token), .. }) = request.extensions().get() {
            return Self::Token(token.clone());
        }
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Self::Address(address.map(|info| network(info.0.ip())))
    }

    /// What the caller is counted under.
    pub(super) fn key(&self) -> [u8; 32] {
        match self {
            Self::Token(token) => sha256(&format!("token:{}", token.name())),
            Self::Address(address) => sha256(&address.map(|address| address.to_string()).unwrap_or_default()),
        }
    }
}

/// The address, or for IPv6 its network of 64 bits, since one caller has all the addresses of that network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_caller() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(
            (network("10.0.0.1").as_str(), network("::ffff:10.0.0.1").as_str()),
            ("10.0.0.1", "10.0.0.1")
        );
    }
}
