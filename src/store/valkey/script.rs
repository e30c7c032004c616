//! The scripts, and how they are called: by hash, or with the whole source if the server does not know them.

use std::fmt::Display;
use std::sync::LazyLock;

use redis::Cmd;

/// A script, together with the code that every script begins with.
pub(super) struct Script {
    source: String,
    hash: String,
}

macro_rules! scripts {
    ($($name:ident = $file:literal, $open:literal;)*) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::new($open, include_str!($file)));)*

        /// All of them, to be loaded on connecting.
        pub(super) fn all() -> impl Iterator<Item = &'static Script> {
            [$(&*$name),*].into_iter()
        }
    };
}

const OPEN: &str = include_str!("lua/open.lua");

scripts! {
    LOOKUP = "lua/lookup.lua", true;
    FILL = "lua/fill.lua", true;
    ADMIT = "lua/admit.lua", true;
    INVALIDATE = "lua/invalidate.lua", true;
    COMPACT = "lua/compact.lua", true;
    REAP = "lua/reap.lua", true;
    FETCH = "lua/fetch.lua", true;
    CLAIM = "lua/claim.lua", false;
    HITS = "lua/hits.lua", false;
}

impl Script {
    fn new(opens_clock: bool, body: &str) -> Self {
        let source = if opens_clock { format!("{OPEN}\n{body}") } else { body.to_owned() };
        // The server identifies scripts by their SHA-1 hash.
        let hash = redis::Script::new(&source).get_hash().to_owned();
        Self { source, hash }
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn call<'a>(&'a self, keys: &'a [String]) -> Call<'a> {
        Call { script: self, keys, arguments: Vec::with_capacity(8) }
    }
}

/// A call of a script.
pub(super) struct Call<'a> {
    script: &'a Script,
    keys: &'a [String],
    arguments: Vec<Argument<'a>>,
}

enum Argument<'a> {
    Bytes(&'a [u8]),
    Owned(Vec<u8>),
}

impl<'a> Call<'a> {
    /// Adds 128 fresh random bits, the first argument of a script that opens a clock. If a call may already
    /// have been executed, it must be repeated with other bits.
    pub(super) fn nonce(mut self) -> Self {
        self.arguments.push(Argument::Owned(rand::random::<u128>().to_be_bytes().to_vec()));
        self
    }

    pub(super) fn bytes(mut self, bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.arguments.push(Argument::Bytes(bytes.as_ref()));
        self
    }

    pub(super) fn owned(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(Argument::Owned(bytes.into()));
        self
    }

    pub(super) fn number(self, number: impl Display) -> Self {
        self.owned(format!("{number}"))
    }

    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    pub(super) fn whole(&self) -> Cmd {
        self.command("EVAL", &self.script.source)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(self.keys);
        for argument in &self.arguments {
            match argument {
                Argument::Bytes(bytes) => command.arg(*bytes),
                Argument::Owned(bytes) => command.arg(bytes.as_slice()),
            };
        }
        command
    }
}
