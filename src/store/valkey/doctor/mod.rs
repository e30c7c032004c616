//! Examines a store and its servers: what is wrong, what could be better, and how to change it.
//!
//! Everything is asked over the store's own connection and with its own permissions, so missing permissions
//! are found. The examination leaves nothing behind. The findings are in the order of the checks; findings
//! that are the same for several servers are merged into one.

mod access;
mod cluster;
mod server;
mod settings;

use std::time::{Duration, Instant};

use redis::Value;

use self::settings::Settings;
use super::layout::FORMAT;
use super::link::CommandError;
use super::{Inner, ValkeyStore, reply};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result, ServerFault};
use crate::store::{Finding, Severity};

/// How often the server is pinged.
const PINGS: usize = 21;
/// Above this round-trip time, lookups take longer than an embedding and come close to the library's default
/// limit.
const SLOW: Duration = Duration::from_millis(10);
/// How often to measure how late this process runs, and how long to sleep each time.
const NAPS: usize = 20;
const NAP: Duration = Duration::from_millis(5);
/// Above this delay, a machine is too busy for a cache that answers in a millisecond.
const BUSY: Duration = Duration::from_millis(30);
/// A difference of clocks that is too small to report.
const SKEW: Duration = Duration::from_secs(2);

impl ValkeyStore {
    /// Pings the server, and returns how long the reply took.
    ///
    /// # Errors
    ///
    /// `Unavailable` or `Timeout` if it cannot be reached. `Config` if it can be reached but does not let
    /// this store in: for example because of a wrong password, a missing permission that connecting needs, or
    /// a certificate from an authority that is not trusted. The message names the address without its
    /// password.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn ping(&self) -> Result<Duration> {
        self.inner.ping().await
    }

    /// Makes sure that the server lets this store in and permits everything that it needs, as far as this can
    /// be checked.
    ///
    /// # Errors
    ///
    /// Those of [`ping`](Self::ping); `Config` if permissions are missing, with the command that grants them.
    ///
    /// # Cancel safety
    ///
    /// As for [`diagnose`](Self::diagnose).
    pub async fn check_access(&self) -> Result<()> {
        self.ping().await?;
        let findings = self.inner.access_findings().await;
        let denied = findings.into_iter().find_map(|finding| Some((finding.reason, finding.remedy?)));
        denied.map_or(Ok(()), |(reason, remedy)| {
            let message = format!("{}: {reason}; permit it by {remedy}", self.inner.address);
            Err(Error::new(ErrorKind::Config, message).with_server_fault(Some(ServerFault::Permission)))
        })
    }

    /// Examines the store and its servers.
    ///
    /// # Errors
    ///
    /// As for [`ping`](Self::ping): a server that cannot be reached cannot be examined.
    ///
    /// # Cancel safety
    ///
    /// If dropped, keys that were made to test the permissions may stay for a minute.
    pub async fn diagnose(&self) -> Result<Vec<Finding>> {
        self.inner.diagnose().await
    }
}

impl Inner {
    async fn ping(&self) -> Result<Duration> {
        let started = Instant::now();
        // The key only selects the node; its value is not used.
        let key = self.keys.format();
        match self.link.send(&redis::cmd("PING"), &key, self.options.connect_timeout).await {
            Err(CommandError::Unavailable(outage) | CommandError::Lost(outage)) => {
                let kind = match outage.fault() {
                    // Waiting does not help.
                    Some(
                        ServerFault::Credentials | ServerFault::Permission | ServerFault::UnknownAuthority,
                    ) => ErrorKind::Config,
                    _ => ErrorKind::Unavailable,
                };
                let why = outage.to_string();
                let message = format!("cannot reach {}: {}", self.address, why.trim_end_matches('.'));
                Err(Error::new(kind, message).with_server_fault(outage.fault()))
            }
            Err(late @ CommandError::Late { .. }) => {
                Err(Error::new(ErrorKind::Timeout, format!("cannot reach {}: {late}", self.address)))
            }
            // A server that does not permit it is there, and any other answer will do, too.
            _ => Ok(started.elapsed()),
        }
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        let mut findings = vec![self.latency().await?];
        let settings = Settings::read(self).await;
        findings.extend(self.servers_findings(&settings).await);
        if self.link.is_cluster() {
            findings.extend(self.cluster_findings().await);
        }
        findings.extend(self.access_findings().await);
        findings.push(self.scheduling().await);
        findings.push(self.skew().await);
        findings.push(self.layout().await);
        findings.push(self.outbox_finding());
        Ok(merged(findings))
    }

    async fn latency(&self) -> Result<Finding> {
        let mut times = Vec::with_capacity(PINGS);
        for _ in 0..PINGS {
            times.push(self.ping().await?);
        }
        times.sort_unstable();
        let (median, slowest) = (times[PINGS / 2], times[PINGS - 1]);
        let most = self.options.command_timeout.max(self.options.max_command_timeout);
        let found = format!(
            "answers in {} (median of {PINGS}; slowest {}), and lookups wait up to {} now",
            millis(median),
            millis(slowest),
            millis(self.command_limit())
        );
        if median * 4 > most {
            let reason = format!(
                "{found}, which may grow to {}: too little, so lookups will bypass the cache",
                millis(most)
            );
            let remedy = format!("store.command_timeout = \"{}ms\"", (median * 10).as_millis().max(1));
            return Ok(Finding::new("reachable", Severity::Warning, reason).remedy(remedy));
        }
        if median > SLOW {
            let reason = format!("{found}: every hit takes at least that long, so move the server closer");
            return Ok(Finding::new("reachable", Severity::Warning, reason));
        }
        Ok(Finding::new("reachable", Severity::Ok, found))
    }

    /// If a machine has more to do than it has cores for, every reply is late.
    async fn scheduling(&self) -> Finding {
        let mut longest = Duration::ZERO;
        for _ in 0..NAPS {
            let due = tokio::time::Instant::now() + NAP;
            tokio::time::sleep_until(due).await;
            longest = longest.max(due.elapsed());
        }
        let found = format!("this process ran {} too late at most", millis(longest));
        if longest > BUSY {
            let reason = format!("{found}: this machine has more work than cores, which delays every lookup");
            return Finding::new("scheduling", Severity::Warning, reason)
                .remedy("give the process more CPU, or a machine of its own");
        }
        Finding::new("scheduling", Severity::Ok, found)
    }

    /// The server expires entries by its clock, but this process sets their time to live by its own clock.
    async fn skew(&self) -> Finding {
        let before = self.options.clock.now();
        let time =
            self.link.send(&redis::cmd("TIME"), &self.keys.format(), self.options.connect_timeout).await;
        let after = self.options.clock.now();
        let Some(server) = time.ok().as_ref().and_then(parse_time) else {
            return Finding::new("clock", Severity::Unknown, "the server does not report its time");
        };
        let here = before.saturating_add(after.saturating_since(before) / 2);
        let skew = server.saturating_since(here).max(here.saturating_since(server));
        if skew > SKEW {
            let ahead = if server > here { "ahead of" } else { "behind" };
            let reason = format!(
                "the server's clock is {} {ahead} this machine's: answers may live longer or shorter by that much, \
                 but none is served stale",
                millis(skew)
            );
            return Finding::new("clock", Severity::Warning, reason).remedy("synchronise both with NTP");
        }
        Finding::new(
            "clock",
            Severity::Ok,
            format!("within {} ms of this machine's", skew.as_millis().max(1)),
        )
    }

    async fn layout(&self) -> Finding {
        let buckets = self.keys.bucket_count();
        match self.compare_layout(&self.link, self.command_limit()).await {
            Ok(()) => Finding::new(
                "layout",
                Severity::Ok,
                format!(
                    "format {FORMAT}, {buckets} buckets, prefix {:?}; all processes must use the same",
                    self.keys.prefix()
                ),
            ),
            Err(error) => Finding::new("layout", Severity::Problem, error.to_string())
                .remedy("set store.buckets as the other processes do, or choose another store.prefix"),
        }
    }

    fn outbox_finding(&self) -> Finding {
        let pending = self.outbox.len();
        if pending > 0 {
            let reason = format!("{pending} invalidations are not in force yet; this process keeps trying");
            return Finding::new("outbox", Severity::Warning, reason);
        }
        let reason = match &self.options.outbox {
            Some(path) => format!("empty, at {}", path.display()),
            None => "in memory only: an invalidation that fails is forgotten when its process ends, so repeat it or \
                     set store.state_dir"
                .into(),
        };
        Finding::new("outbox", Severity::Ok, reason)
    }
}

/// Merges findings that differ in nothing but the server.
fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut merged: Vec<Finding> = Vec::new();
    for finding in findings {
        let same = merged.iter_mut().find(|other| {
            other.check == finding.check
                && other.severity == finding.severity
                && other.reason == finding.reason
                && other.remedy == finding.remedy
        });
        match same {
            Some(other) => other.servers.extend(finding.servers),
            None => merged.push(finding),
        }
    }
    merged
}

fn parse_time(reply: &Value) -> Option<Timestamp> {
    let [seconds, micros] = reply::items(reply)? else { return None };
    let (seconds, micros) = (reply::number::<u64>(seconds)?, reply::number::<u64>(micros)?);
    Some(Timestamp::from_millis(seconds * 1_000 + micros / 1_000))
}

fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}
