//! A bad network between some of the processes and the server.

use std::time::Duration;

use crate::crew::{Crew, Effort, Outcome};
use crate::plan::Plan;
use crate::support::servers::{Proxy, Server};

/// Every other process is behind the network.
fn bad(effort: Effort, disturb: fn(&mut Crew, &Proxy)) -> Outcome {
    let server = Server::start();
    let proxy = Proxy::start(server.port());
    let mut crew = Crew::start(effort, Plan::at(vec![server.url(), proxy.url()]).impatient());
    while crew.goes_on() {
        crew.pass(200..600);
        disturb(&mut crew, &proxy);
        crew.fault();
    }
    proxy.heal();
    crew.finish()
}

pub(super) fn slow(effort: Effort) -> Outcome {
    bad(effort, |crew, proxy| {
        proxy.delay_requests(Duration::from_millis(100));
        proxy.delay_replies(Duration::from_millis(100));
        crew.pass(300..1_000);
        proxy.delay_requests(Duration::ZERO);
        proxy.delay_replies(Duration::ZERO);
    })
}

pub(super) fn cut(effort: Effort) -> Outcome {
    bad(effort, |crew, proxy| {
        proxy.cut();
        crew.pass(10..800);
        proxy.heal();
    })
}

pub(super) fn hangs(effort: Effort) -> Outcome {
    bad(effort, |crew, proxy| {
        proxy.hang();
        crew.pass(10..800);
        proxy.heal();
    })
}
