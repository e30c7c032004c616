//! How a server is set up.

use std::path::Path;

use super::saved::NODES_FILE;
use super::{Flavour, Server, Tls};

/// The contents of a server's folder, besides certificates.
pub(super) const DATA: &str = "data";
pub(super) const SOCKET: &str = "socket";

/// The properties of a server. By default, it keeps nothing on disk and accepts everyone.
#[must_use]
pub struct ServerBuilder {
    pub(super) flavour: Flavour,
    settings: Vec<String>,
    pub(super) password: Option<String>,
    pub(super) tls: Option<Tls>,
    pub(super) sentinel: bool,
}

impl ServerBuilder {
    pub(super) fn new(flavour: Flavour) -> Self {
        Self { flavour, settings: Vec::new(), password: None, tls: None, sentinel: false }
    }

    pub fn flavour(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// A line of the server's configuration, such as `appendonly` and `yes`.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name} {value}"));
        self
    }

    /// The password that the default user must give; as a replica, the server gives it to its primary.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.config("requirepass", password).config("masterauth", password)
    }

    /// Another user besides the default one, with the rules of an access control list, such as
    /// `on >secret ~a* +get`.
    pub fn user(self, name: &str, rules: &str) -> Self {
        self.config("user", &format!("{name} {rules}"))
    }

    /// The server's port speaks only TLS; not for replicas and clusters.
    pub fn tls(mut self) -> Self {
        self.tls = Some(Tls::generate());
        self
    }

    /// Makes it a replica of the server on this port, or of the server behind a proxy on this port.
    pub fn replica_of(self, port: u16) -> Self {
        self.config("replicaof", &format!("127.0.0.1 {port}"))
    }

    /// Makes it a cluster node that has not met the other nodes yet.
    pub fn cluster(self) -> Self {
        self.config("cluster-enabled", "yes").config("cluster-config-file", NODES_FILE)
    }

    /// Makes it a watcher of a store instead of a store.
    pub(super) fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self
    }

    /// Starts the server on a free port; returns once it answers.
    pub fn start(self) -> Server {
        Server::create(self)
    }

    /// The text of a configuration file for a server on `port` with its files in `folder`.
    pub(super) fn configuration(&self, folder: &Path, port: u16) -> String {
        let quoted = |name| format!("\"{}\"", folder.join(name).display());
        let (plain, secure) = if self.tls.is_some() { (0, port) } else { (port, 0) };
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            "protected-mode no".to_owned(),
            format!("port {plain}"),
            format!("unixsocket {}", quoted(SOCKET)),
            format!("dir {}", quoted(DATA)),
            "save \"\"".to_owned(),
            "enable-debug-command yes".to_owned(),
            // A replica need not wait for others that might connect.
            "repl-diskless-sync-delay 0".to_owned(),
        ];
        if self.tls.is_some() {
            lines.push(format!("tls-port {secure}"));
            lines.push("tls-auth-clients no".to_owned());
            for (setting, file) in Tls::FILES {
                lines.push(format!("{setting} {}", quoted(file)));
            }
        }
        lines.extend(self.settings.iter().cloned());
        lines.join("\n") + "\n"
    }
}
