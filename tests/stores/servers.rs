//! The servers that other suites test with: each must do what its documentation says, or the results of those suites
//! are worth nothing.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, ClientTlsConfig, Commands, Connection, RedisError, RedisResult, TlsCertificates};

use crate::support::servers::{
    Cluster, Failover, Flavour, Proxy, ReplicaPair, Sentinels, Server, Tls, until,
};

fn connect(url: &str) -> RedisResult<Connection> {
    Client::open(url)?.get_connection()
}

fn get(server: &Server, key: &str) -> Option<String> {
    redis::from_redis_value(server.command(&["GET", key])).unwrap()
}

fn set(server: &Server, key: &str, value: &str) {
    server.command(&["SET", key, value]);
}

fn refuses(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

#[test]
fn every_flavour_serves_on_its_port_and_ends_with_its_value() {
    for flavour in Flavour::available() {
        let server = Server::builder().flavour(flavour).start();
        let () = connect(&server.url()).unwrap().set("a", "b").unwrap();
        assert_eq!(get(&server, "a").as_deref(), Some("b"));
        let name = if flavour == Flavour::Valkey { "valkey" } else { "redis" };
        let said = server.info("server_name").unwrap_or_else(|| "redis".to_owned());
        assert_eq!(said, name);
        assert_eq!(server.flavour(), flavour);

        let (port, folder) = (server.port(), server.folder().to_owned());
        drop(server);
        assert!(refuses(port));
        assert!(!folder.exists());
    }
}

#[test]
fn a_kill_loses_what_is_not_on_disk() {
    let fleeting = Server::start();
    let lasting = Server::builder()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .config("maxmemory", "100mb")
        .start();
    for server in [&fleeting, &lasting] {
        set(server, "a", "1");
        let port = server.port();
        server.kill();
        assert!(refuses(port) && !server.is_running());
        server.restart();
        assert_eq!(server.port(), port);
    }
    assert_eq!(get(&fleeting, "a"), None);
    assert_eq!(get(&lasting, "a").as_deref(), Some("1"));
    assert_eq!(lasting.info("maxmemory").as_deref(), Some("104857600"));
}

#[test]
fn restored_files_roll_a_server_back() {
    for appendonly in ["no", "yes"] {
        let server = Server::builder().config("appendonly", appendonly).start();
        set(&server, "a", "old");
        let saved = server.save_files();
        set(&server, "a", "new");
        set(&server, "b", "new");
        let newer = server.save_files();
        for (files, a, b) in [(&saved, "old", None), (&newer, "new", Some("new"))] {
            server.kill();
            server.restore_files(files);
            server.restart();
            assert_eq!(get(&server, "a").as_deref(), Some(a), "appendonly {appendonly}");
            assert_eq!(get(&server, "b").as_deref(), b, "appendonly {appendonly}");
        }
    }
}

#[test]
fn a_stopped_server_hangs_until_it_goes_on() {
    let server = Server::start();
    let mut connection = connect(&server.url()).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    server.stop();
    let waits: RedisError = redis::cmd("PING").exec(&mut connection).unwrap_err();
    assert!(waits.is_timeout(), "{waits}");
    server.cont();
    until("the server answers", || {
        connect(&server.url()).is_ok_and(|mut fresh| redis::cmd("PING").exec(&mut fresh).is_ok())
    });
    server.stop();
    let port = server.port();
    drop(server);
    assert!(refuses(port), "a stopped server is killed as well");
}

#[test]
fn passwords_and_users_are_asked_for() {
    let server = Server::builder().password("secret").user("reader", "on >word ~a* +get +ping").start();
    set(&server, "a", "b");
    let mut stranger = connect(&server.url()).unwrap();
    let refused = stranger.get::<_, String>("a").unwrap_err();
    assert_eq!(refused.code(), Some("NOAUTH"));

    let mut reader = connect(&format!("redis://reader:word@127.0.0.1:{}", server.port())).unwrap();
    assert_eq!(reader.get::<_, String>("a").unwrap(), "b");
    assert_eq!(reader.set::<_, _, ()>("a", "c").unwrap_err().code(), Some("NOPERM"));
    assert!(connect(&format!("redis://reader:wrong@127.0.0.1:{}", server.port())).is_err());
}

#[test]
fn tls_convinces_those_who_trust_its_authority() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let connect_trusting = |server: &Server, tls: &Tls, client: Option<&Tls>| -> RedisResult<()> {
        let client_tls = client.map(|client| ClientTlsConfig {
            client_cert: client.client_certificate.clone().into_bytes(),
            client_key: client.client_key.clone().into_bytes(),
        });
        let certificates = TlsCertificates { client_tls, root_cert: Some(tls.ca.clone().into_bytes()) };
        let client = Client::build_with_tls(server.url(), certificates)?;
        redis::cmd("PING").exec(&mut client.get_connection()?)
    };
    let stranger = Tls::generate();

    let server = Server::builder().tls().start();
    connect_trusting(&server, server.tls(), None).unwrap();
    assert!(connect_trusting(&server, &stranger, None).is_err(), "another authority");
    let plain = format!("redis://127.0.0.1:{}", server.port());
    assert!(connect(&plain).is_err(), "the port speaks plain text");

    let demanding = Server::builder().tls().config("tls-auth-clients", "yes").start();
    connect_trusting(&demanding, demanding.tls(), Some(demanding.tls())).unwrap();
    assert!(connect_trusting(&demanding, demanding.tls(), None).is_err(), "no certificate");
    assert!(connect_trusting(&demanding, demanding.tls(), Some(&stranger)).is_err(), "a stranger's");
}

#[test]
fn a_replica_follows_until_it_is_cut_off_or_promoted() {
    let pair = ReplicaPair::start_with(|server| server.password("secret"));
    set(&pair.primary, "a", "1");
    pair.catch_up();
    assert_eq!(get(&pair.replica, "a").as_deref(), Some("1"));

    pair.cut();
    set(&pair.primary, "a", "2");
    assert_eq!(get(&pair.replica, "a").as_deref(), Some("1"));
    pair.heal();
    assert_eq!(get(&pair.replica, "a").as_deref(), Some("2"));

    // No one notices this one, so only the missing confirmation shows it.
    pair.link.hang();
    let mut primary = connect(&format!("redis://:secret@127.0.0.1:{}", pair.primary.port())).unwrap();
    let (confirmed,): (usize,) =
        redis::pipe().set("a", "3").ignore().cmd("WAIT").arg(1).arg(200).query(&mut primary).unwrap();
    assert_eq!(confirmed, 0);
    assert_eq!(get(&pair.replica, "a").as_deref(), Some("2"));

    pair.promote();
    set(&pair.replica, "b", "4");
    pair.demote();
    assert_eq!(get(&pair.primary, "a").as_deref(), Some("2"), "what the new primary did not have is lost");
    assert_eq!(get(&pair.primary, "b").as_deref(), Some("4"));
    pair.primary.restart();
    assert_eq!(pair.primary.info("role").as_deref(), Some("slave"), "roles survive a restart");
}

#[test]
fn a_primary_refuses_replicas_and_nobody_else() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(primary.port()).start();
    primary.wait_for_replicas(1);
    primary.refuse_replicas();
    set(&primary, "a", "1");
    // The replica has tried again by the time that it has been turned away.
    until("the replica is turned away", || replica.log().contains("no permissions"));
    assert_eq!(get(&replica, "a"), None);
    primary.admit_replicas();
    primary.wait_for_replicas(1);
    assert_eq!(get(&replica, "a").as_deref(), Some("1"));
}

/// In a test whose runtime is blocked and whose clock stands still, like the tests that need it.
#[tokio::test(start_paused = true)]
async fn a_proxy_delays_each_direction_without_narrowing_it() {
    let server = Server::start();
    let proxy = Proxy::start(server.port());
    let mut connection = connect(&proxy.url()).unwrap();
    let mut timed = |commands: usize| {
        let mut pipeline = redis::pipe();
        (0..commands).for_each(|_| _ = pipeline.cmd("PING").ignore());
        let started = Instant::now();
        pipeline.exec(&mut connection).unwrap();
        started.elapsed()
    };
    let delay = Duration::from_millis(150);
    proxy.delay_requests(delay);
    assert!(timed(1) >= delay);
    proxy.delay_replies(delay);
    let both = timed(1_000);
    assert!(both >= 2 * delay && both < 100 * delay, "a thousand commands took {both:?}");
}

#[test]
fn a_proxy_hangs_cuts_and_heals() {
    let server = Server::start();
    let proxy = Proxy::start(server.port());
    let mut connection = connect(&proxy.url()).unwrap();
    redis::cmd("PING").exec(&mut connection).unwrap();

    proxy.hang();
    connection.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let hangs = connection.set::<_, _, ()>("a", "late").unwrap_err();
    assert!(hangs.is_timeout(), "{hangs}");
    assert!(!refuses(proxy.port()), "new connections are accepted");
    assert_eq!(get(&server, "a"), None);
    // The client has given its connection up, but what it sent is under way.
    proxy.heal();
    until("the command arrives", || get(&server, "a").is_some());

    let mut connection = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    proxy.cut();
    assert!(refuses(proxy.port()));
    let end = connection.read(&mut [0]);
    assert!(matches!(&end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    proxy.heal();
    redis::cmd("PING").exec(&mut connect(&proxy.url()).unwrap()).unwrap();
}

#[test]
fn sentinels_move_the_service() {
    let group = Sentinels::start(3);
    assert_eq!(group.urls().len(), 3);
    let first = group.primary().port();
    group.failover(Failover::Manual);
    assert_ne!(group.primary().port(), first);
    set(group.primary(), "a", "1");
    group.settle();

    group.primary().wait_for_replicas(1);
    group.failover(Failover::KillPrimary);
    assert_eq!(group.primary().port(), first);
    assert_eq!(get(group.primary(), "a").as_deref(), Some("1"));
    group.replica().restart();
    group.settle();
}

#[test]
fn a_cluster_moves_slots_and_changes_its_primaries() {
    let cluster = Cluster::start();
    assert_eq!(cluster.urls().len(), 6);
    let slot = cluster.slot("{tag}");
    let primary = cluster.owner(slot);
    let node = |index: usize| &cluster.nodes()[index];
    let read = |index, key| -> RedisResult<String> {
        redis::from_redis_value(node(index).try_command(&["GET", key])?).map_err(RedisError::from)
    };
    let code = |reply: RedisResult<String>| reply.unwrap_err().code().map(str::to_owned);
    set(node(primary), "{tag}1", "one");
    set(node(primary), "{tag}2", "two");
    let other = (0..3).find(|index| *index != primary).unwrap();
    assert_eq!(code(read(other, "{tag}1")).as_deref(), Some("MOVED"));

    let migration = cluster.migrate(slot, other);
    migration.move_key("{tag}1");
    assert_eq!(code(read(primary, "{tag}1")).as_deref(), Some("ASK"), "moved");
    assert_eq!(read(primary, "{tag}2").unwrap(), "two", "not moved yet");
    migration.finish();
    assert_eq!(cluster.owner(slot), other);
    assert_eq!(read(other, "{tag}2").unwrap(), "two");
    assert_eq!(code(read(primary, "{tag}2")).as_deref(), Some("MOVED"));

    let replica = cluster.failover(other, Failover::Manual);
    assert_eq!((cluster.owner(slot), cluster.replica_of(replica)), (replica, other));
    cluster.settle();
    assert_eq!(read(replica, "{tag}2").unwrap(), "two");

    // What was acknowledged after the cut is lost.
    cluster.cut_replica(replica);
    set(node(replica), "{tag}2", "three");
    assert_eq!(cluster.failover(replica, Failover::KillPrimary), other);
    // On a busy machine, a node may be late to hear that the cluster is up.
    until("the new primary answers", || read(other, "{tag}2").is_ok());
    assert_eq!(read(other, "{tag}2").unwrap(), "two");
    node(replica).restart();
    cluster.settle();
    assert_eq!(cluster.replica_of(other), replica);
}

/// Mechanism: a test that is killed runs no `Drop`, and a server without a parent lives on.
#[test]
fn servers_end_with_a_test_process_that_is_killed() {
    const CHILD: &str = "WELLSPRING_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let server = Server::start();
        server.stop();
        eprintln!("\nport {} folder {}", server.port(), server.folder().display());
        loop {
            std::thread::park();
        }
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers::servers_end_with_a_test_process_that_is_killed", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let place = lines.filter_map(|line| {
        let (port, folder) = line.strip_prefix("port ")?.split_once(" folder ")?;
        Some((port.parse::<u16>().unwrap(), folder.to_owned()))
    });
    let (port, folder) = { place }.next().unwrap();
    assert!(!refuses(port) && Path::new(&folder).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    until("the server is gone", || refuses(port) && !Path::new(&folder).exists());
}
