//! A network between a client and a server that is slow, stuck or gone.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{self, TcpStream};
use tokio::sync::{mpsc as channel, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::port;

/// How many pieces of data may be in transit in one direction of a connection.
const UNDER_WAY: usize = 1_024;

/// A port whose connections end at a server, through a network that the test controls.
///
/// It has its own thread and runtime, so that it continues when a test's runtime is blocked or its clock is
/// paused. Every change is in force when its method returns.
pub struct Proxy {
    port: u16,
    commands: Option<channel::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// A change, and the channel to notify when it is in force.
type Command = (Change, mpsc::Sender<()>);

#[derive(Debug, Clone, Copy)]
enum Change {
    Requests(Duration),
    Replies(Duration),
    Hang,
    Cut,
    Heal,
}

/// What connections must know about the network.
#[derive(Debug, Clone, Copy, Default)]
struct Network {
    requests: Duration,
    replies: Duration,
    stuck: bool,
}

impl Proxy {
    /// A proxy in front of the server on this port; at first, it is fast and reliable.
    pub fn start(upstream: u16) -> Self {
        let bind = || {
            let port = port::free_port();
            Some((port, TcpListener::bind(("127.0.0.1", port)).ok()?))
        };
        let (port, listener) = (0..20).find_map(|_| bind()).expect("a free port stays free for once");
        listener.set_nonblocking(true).expect("a listener need not block");
        let (commands, receiver) = channel::unbounded_channel();
        // The runtime must be created and dropped where no other runtime is active.
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(run(listener, upstream, receiver));
        };
        Self { port, commands: Some(commands), thread: Some(thread::spawn(run)) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Delays everything that clients send from now on. Data in transit keep their delay.
    pub fn delay_requests(&self, delay: Duration) {
        self.change(Change::Requests(delay));
    }

    /// Delays everything that the server sends from now on. Data in transit keep their delay.
    pub fn delay_replies(&self, delay: Duration) {
        self.change(Change::Replies(delay));
    }

    /// No data arrive any more, and neither side is notified: connections stay open, and new ones are
    /// accepted.
    pub fn hang(&self) {
        self.change(Change::Hang);
    }

    /// Closes all connections, and drops their data in transit; new connections are refused.
    pub fn cut(&self) {
        self.change(Change::Cut);
    }

    /// Undoes `hang`, whose data then arrive after all, and `cut`. Delays stay.
    pub fn heal(&self) {
        self.change(Change::Heal);
    }

    fn change(&self, change: Change) {
        let (done, in_force) = mpsc::channel();
        let commands = self.commands.as_ref().expect("there until it is dropped");
        commands.send((change, done)).expect("the proxy runs");
        in_force.recv().expect("the proxy runs");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves until no one is left to send commands; owns all connections.
async fn run(listener: TcpListener, upstream: u16, mut commands: channel::UnboundedReceiver<Command>) {
    let address = listener.local_addr().expect("a listener has an address");
    let network = watch::Sender::new(Network::default());
    let mut connections = JoinSet::new();
    let mut listener = Some(net::TcpListener::from_std(listener).expect("the runtime takes the listener"));
    loop {
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // A change is handled before a connection that is made after it.
            biased;
            command = commands.recv() => {
                let Some((change, done)) = command else { return };
                match change {
                    Change::Requests(delay) => network.send_modify(|network| network.requests = delay),
                    Change::Replies(delay) => network.send_modify(|network| network.replies = delay),
                    Change::Hang => network.send_modify(|network| network.stuck = true),
                    Change::Cut => {
                        listener = None;
                        connections.shutdown().await;
                    }
                    Change::Heal => {
                        network.send_modify(|network| network.stuck = false);
                        if listener.is_none() {
                            let bound = net::TcpListener::bind(address).await;
                            listener = Some(bound.expect("the port stayed free"));
                        }
                    }
                }
                let _ = done.send(());
            }
            accepted = accept => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(connect(client, upstream, network.subscribe()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until either side ends it.
async fn connect(client: TcpStream, upstream: u16, mut network: watch::Receiver<Network>) {
    if network.wait_for(|network| !network.stuck).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
    // The only delays should be those that the test asked for.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = forward(from_client, to_server, network.clone(), |network| network.requests) => {}
        () = forward(from_server, to_client, network, |network| network.replies) => {}
    }
}

/// One direction of a connection, until it ends.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    network: watch::Receiver<Network>,
    delay: fn(&Network) -> Duration,
) {
    let (sender, mut under_way) = channel::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let mut gate = network.clone();
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + delay(&network.borrow());
            if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
        // The last data that were read must still be written: the writer ends when it has written them.
        drop(sender);
        std::future::pending::<()>().await;
    };
    let write = async move {
        while let Some((due, data)) = under_way.recv().await {
            sleep_until(due).await;
            if gate.wait_for(|network| !network.stuck).await.is_err() || to.write_all(&data).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}
