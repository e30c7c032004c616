//! Why servers are away.

use std::fmt;
use std::sync::Arc;

use redis::{RedisError, ServerErrorKind};
use rustls::CertificateError;

use crate::error::ServerFault;

const WRONG_PASSWORD: &str = "user or password is wrong";
const NO_PASSWORD: &str = "it wants a password";

/// Why servers are away, and their fault if they can be reached.
#[derive(Debug, Clone)]
pub(in crate::store::valkey) struct Outage {
    why: String,
    fault: Option<ServerFault>,
}

impl Outage {
    pub(super) fn by_fault(why: &str, fault: ServerFault) -> Self {
        Self { why: why.to_owned(), fault: Some(fault) }
    }

    /// Why no node of a cluster can be used. The client keeps nothing of a node's error but its text.
    pub(super) fn of_cluster(error: &RedisError) -> Self {
        let why = error.to_string();
        let known = [
            ("WRONGPASS", Some(WRONG_PASSWORD), ServerFault::Credentials),
            ("NOAUTH", Some(NO_PASSWORD), ServerFault::Credentials),
            ("NoPerm", None, ServerFault::Permission),
            ("UnknownIssuer", None, ServerFault::UnknownAuthority),
            ("BadSignature", None, ServerFault::UnknownAuthority),
            ("invalid peer certificate", None, ServerFault::Certificate),
        ];
        match known.into_iter().find(|(text, ..)| why.contains(text)) {
            Some((_, simply, fault)) => Self::by_fault(simply.unwrap_or(&why), fault),
            None => Self { why, fault: None },
        }
    }

    /// The fault of servers that can be reached.
    pub(in crate::store::valkey) fn fault(&self) -> Option<ServerFault> {
        self.fault
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<&str> for Outage {
    fn from(why: &str) -> Self {
        Self { why: why.to_owned(), fault: None }
    }
}

impl From<RedisError> for Outage {
    fn from(error: RedisError) -> Self {
        // In simpler words where those of the server are too detailed.
        match (error.code(), error.kind()) {
            (Some("WRONGPASS"), _) | (_, redis::ErrorKind::AuthenticationFailed) => {
                Self::by_fault(WRONG_PASSWORD, ServerFault::Credentials)
            }
            (Some("NOAUTH"), _) => Self::by_fault(NO_PASSWORD, ServerFault::Credentials),
            (_, redis::ErrorKind::Server(ServerErrorKind::NoPerm)) => {
                Self::by_fault(&error.to_string(), ServerFault::Permission)
            }
            _ => Self { why: error.to_string(), fault: certificate_fault(&error) },
        }
    }
}

/// What is wrong with the server's certificate, if that is the cause.
fn certificate_fault(error: &RedisError) -> Option<ServerFault> {
    let shared = std::error::Error::source(error)?;
    let shared = shared.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?;
    let broken = shared.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref()?;
    match broken {
        // An authority of the same name as one that is trusted, but with another key, leaves a bad signature.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => Some(ServerFault::UnknownAuthority),
        rustls::Error::InvalidCertificate(_) => Some(ServerFault::Certificate),
        _ => None,
    }
}
