//! One server, and what can happen to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult, ToRedisArgs, Value,
};
use tempfile::TempDir;

use super::builder::{DATA, SOCKET};
use super::process::Process;
use super::{Flavour, SavedFiles, ServerBuilder, Tls, port, until};

/// How long a start or a command may take; nothing that tests ask of a server takes this long.
const TIMEOUT: Duration = Duration::from_mins(2);
/// How often to try another port if another process was quicker to take one.
const PORTS: usize = 20;

/// A running server, until it is killed or dropped.
pub struct Server {
    /// Before the folder, so that the process ends before its folder goes.
    process: Mutex<Option<Process>>,
    flavour: Flavour,
    port: u16,
    password: Option<String>,
    tls: Option<Tls>,
    sentinel: bool,
    folder: TempDir,
}

impl Server {
    /// A server with no particular settings.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server of the preferred flavour, to be adjusted.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new(Flavour::preferred())
    }

    pub(super) fn create(builder: ServerBuilder) -> Self {
        let folder = tempfile::Builder::new().prefix("wellspring-").tempdir().expect("a folder can be made");
        fs::create_dir(folder.path().join(DATA)).expect("the folder is writable");
        if let Some(tls) = &builder.tls {
            tls.install(folder.path());
        }
        let configurations: Vec<_> = (0..PORTS)
            .map(|_| port::free_port())
            .map(|port| (port, builder.configuration(folder.path(), port)))
            .collect();
        let ServerBuilder { flavour, password, tls, sentinel, .. } = builder;
        let mut server =
            Self { process: Mutex::new(None), flavour, port: 0, password, tls, sentinel, folder };
        for (port, configuration) in configurations {
            server.port = port;
            fs::write(server.file("server.conf"), configuration).expect("the folder is writable");
            if server.launch() {
                return server;
            }
        }
        panic!("{PORTS} free ports were taken before a server could have them");
    }

    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, without a password.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The path of a Unix socket, which every server has in addition to its port.
    pub fn socket_path(&self) -> PathBuf {
        self.file(SOCKET)
    }

    /// The certificates of a server with TLS.
    pub fn tls(&self) -> &Tls {
        self.tls.as_ref().expect("the server was built with TLS")
    }

    /// The folder of the server's files: its log, and its data in a separate folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the server has logged since it started last.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    pub fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// Ends the server at once, as in a crash; data that it has not written are lost.
    pub fn kill(&self) {
        *self.process() = None;
    }

    /// Freezes the server: its connections stay open, and nothing answers.
    pub fn stop(&self) {
        self.process().as_ref().expect("the server runs").stop();
    }

    /// Lets a frozen server continue.
    pub fn cont(&self) {
        self.process().as_ref().expect("the server runs").cont();
    }

    /// Kills the server if it is running, and starts it again on the same port with the files that it left.
    /// Of the changes to its configuration, only those that `CONFIG REWRITE` saved remain.
    pub fn restart(&self) {
        self.kill();
        assert!(self.launch(), "port {} was taken while its server was down", self.port);
    }

    /// Copies the data on disk; a running server first writes everything that it has.
    pub fn save_files(&self) -> SavedFiles {
        if self.is_running() {
            // Refused while a background save is in progress, even one for a replica.
            until("the server saves", || self.try_command(&["SAVE"]).is_ok());
            // An append-only file waits for the last flush to disk, unless every command is to be flushed:
            // then the reply to this command waits for all of it.
            let policy: (String, String) =
                redis::from_redis_value(self.command(&["CONFIG", "GET", "appendfsync"])).expect("a setting");
            self.command(&["CONFIG", "SET", "appendfsync", "always"]);
            self.command(&["CONFIG", "SET", "appendfsync", &policy.1]);
        }
        SavedFiles::copy_from(&self.file(DATA))
    }

    /// Replaces the data on disk.
    ///
    /// # Panics
    ///
    /// If the server is running, because it would overwrite the data.
    pub fn restore_files(&self, saved: &SavedFiles) {
        assert!(!self.is_running(), "data cannot be restored under a running server");
        saved.copy_to(&self.file(DATA));
    }

    /// Runs one command as the default user, over the Unix socket.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn command<A: ToRedisArgs>(&self, words: &[A]) -> Value {
        self.try_command(words).unwrap_or_else(|error| panic!("server on port {}: {error}", self.port))
    }

    /// The same, but an error is a valid reply.
    pub fn try_command<A: ToRedisArgs>(&self, words: &[A]) -> RedisResult<Value> {
        let mut command = redis::Cmd::new();
        command.arg(words);
        let client = redis::Client::open(self.connection_info())?;
        let (sender, reply) = mpsc::channel();
        // Socket timeouts are not used here: they turn every interruption of a system call into an error.
        thread::spawn(move || {
            let reply = client.get_connection().and_then(|mut connection| command.query(&mut connection));
            // No one waits for the reply any more if it comes too late.
            let _ = sender.send(reply);
        });
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
        reply.recv_timeout(TIMEOUT).unwrap_or_else(late)
    }

    /// The reply to a command, as text.
    pub fn text<A: ToRedisArgs>(&self, words: &[A]) -> String {
        redis::from_redis_value(self.command(words)).expect("the reply is text")
    }

    /// A field of `INFO`, such as `role`.
    pub fn info(&self, field: &str) -> Option<String> {
        assert!(self.is_running(), "a server that is down says nothing");
        let mut info = String::new();
        // When sentinels give a server another role, they disconnect everyone, including this connection.
        until("the server says how it is", || {
            let reply = self.try_command(&["INFO"]).and_then(|reply| Ok(redis::from_redis_value(reply)?));
            reply.map(|text| info = text).is_ok()
        });
        info.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.to_owned()))
    }

    /// Waits until `count` replicas have confirmed everything that was written so far.
    pub fn wait_for_replicas(&self, count: usize) {
        let written = self.info("master_repl_offset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
        until("the replicas have everything", || {
            // Waiting for more replicas than exist makes the server ask all of them for their offsets. The
            // number that it returns is useless: it only covers what the same connection wrote.
            self.command(&["WAIT", "1000", "20"]);
            self.text(&["INFO", "replication"]).lines().filter(|line| has_confirmed(line, written)).count()
                >= count
        });
    }

    /// Refuses replicas, and disconnects those that are connected. The server, the replicas and everything
    /// else between them continue: in a cluster, only the data stop flowing.
    pub fn refuse_replicas(&self) {
        self.command(&["ACL", "SETUSER", "default", "-psync", "-sync"]);
        self.command(&["CLIENT", "KILL", "TYPE", "replica"]);
    }

    /// Accepts replicas again. A restart does this, too.
    pub fn admit_replicas(&self) {
        // Not SYNC, the old protocol: a replica that uses it right now, because PSYNC was refused a moment
        // ago, would follow without ever confirming anything.
        self.command(&["ACL", "SETUSER", "default", "+psync"]);
    }

    /// Starts the process and waits until it answers. Returns false if its port was taken.
    fn launch(&self) -> bool {
        let mut command = Command::new(self.flavour.binary());
        command.arg(self.file("server.conf"));
        if self.sentinel {
            command.arg("--sentinel");
        }
        let mut process = Process::spawn(&mut command, &self.file("log"), self.folder());
        let started = Instant::now();
        // It listens on its port before it answers on its socket, and no other process answers there.
        while self.try_command(&["PING"]).is_err() {
            if let Some(status) = process.exit_status() {
                let log = self.log();
                assert!(log.contains("Address already in use"), "{:?} ended, {status}:\n{log}", self.flavour);
                return false;
            }
            assert!(started.elapsed() < TIMEOUT, "no answer on port {}:\n{}", self.port, self.log());
            thread::sleep(Duration::from_millis(5));
        }
        *self.process() = Some(process);
        true
    }

    fn connection_info(&self) -> ConnectionInfo {
        let mut login = RedisConnectionInfo::default();
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        let address = ConnectionAddr::Unix(self.socket_path()).into_connection_info();
        address.expect("a path is an address").set_redis_settings(login)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().expect("no holder panics")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Whether a line of `INFO` describes a replica that has confirmed this much.
fn has_confirmed(line: &str, written: u64) -> bool {
    // slave0:ip=127.0.0.1,port=12001,state=online,offset=14,lag=0,…
    let mut fields = line.split(',');
    line.starts_with("slave")
        && fields.any(|field| field == "state=online")
        && fields.any(|field| {
            field
                .strip_prefix("offset=")
                .is_some_and(|offset| offset.parse().is_ok_and(|offset: u64| offset >= written))
        })
}
