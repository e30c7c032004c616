//! The servers that are available for tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const INSTALL: &str = "run `make servers`, or install Valkey 8 or newer (`brew install valkey`, \
                       `apt-get install valkey-server`) or Redis 7 or newer";

/// A kind of server that speaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Valkey,
    Redis,
}

impl Flavour {
    /// The flavours that have an installed server, the preferred one first.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn available() -> Vec<Self> {
        let flavours: Vec<_> =
            [Self::Valkey, Self::Redis].into_iter().filter(|flavour| flavour.found().is_some()).collect();
        assert!(!flavours.is_empty(), "neither a Valkey nor a Redis server is there: {INSTALL}");
        flavours
    }

    /// Valkey if it is installed, otherwise Redis.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn preferred() -> Self {
        Self::available()[0]
    }

    /// The server's binary.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn binary(self) -> &'static Path {
        self.found().unwrap_or_else(|| panic!("there is no {self:?} server: {INSTALL}"))
    }

    /// The first server that is new enough, among those on the PATH and in `.deps/`.
    fn found(self) -> Option<&'static Path> {
        static FOUND: [OnceLock<Option<PathBuf>>; 2] = [OnceLock::new(), OnceLock::new()];
        let search = || {
            let name = format!("{self:?}").to_lowercase();
            let path = std::env::var_os("PATH").unwrap_or_default();
            let own = crate::root().join(".deps").join(&name).join("bin");
            std::env::split_paths(&path)
                .chain([own])
                .map(|folder| folder.join(format!("{name}-server")))
                .find(|binary| self.suits(binary))
        };
        FOUND[self as usize].get_or_init(search).as_deref()
    }

    /// Whether this is a binary of this flavour and new enough. Some systems install Valkey under the name of
    /// Redis, so the name that the server gives itself decides.
    fn suits(self, binary: &Path) -> bool {
        let oldest = match self {
            Self::Valkey => 8,
            Self::Redis => 7,
        };
        let Ok(output) = Command::new(binary).arg("--version").output() else { return false };
        // "Valkey server v=8.0.1 sha=00000000:0 malloc=…"
        String::from_utf8_lossy(&output.stdout)
            .strip_prefix(&format!("{self:?} server v="))
            .and_then(|rest| rest.split('.').next()?.parse::<u32>().ok())
            .is_some_and(|major| major >= oldest)
    }
}
