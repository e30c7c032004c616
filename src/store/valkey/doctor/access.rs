//! What the user may do: every command that the store and its scripts use is tried, on keys made for the
//! test.
//!
//! Asking what a user may do needs a permission that few users have; trying needs none. In a script, a user
//! may do exactly what it may do outside.

use futures::future::{join, join_all};
use redis::{Cmd, Value};
use serde_json::json;

use crate::store::valkey::link::CommandError;
use crate::store::valkey::script::{CLAIM, LOOKUP};
use crate::store::valkey::{Freshness, Inner, reply};
use crate::store::{Finding, Severity};

/// How long the test keys stay if they cannot be removed, in milliseconds.
const LIFE: &str = "60000";

/// The permission that only a bounded freshness needs.
const TRACKING: &str = "+client|tracking";

/// The commands to try: the rule that permits each, and its words. `H`, `S`, `X` and `T` stand for a hash, a
/// set, a stream and a string made for the test.
const TRIED: &[(&str, &[&str])] = &[
    ("+ping", &["PING"]),
    ("+info", &["INFO", "replication"]),
    ("+time", &["TIME"]),
    ("+wait", &["WAIT", "0", "1"]),
    ("+eval", &["EVAL", "return 0", "0"]),
    ("+evalsha", &["EVALSHA", "0000000000000000000000000000000000000000", "0"]),
    ("+script|load", &["SCRIPT", "LOAD", "return 0"]),
    (TRACKING, &["CLIENT", "TRACKING", "OFF"]),
    ("+set", &["SET", "T", "1", "NX", "PX", LIFE]),
    ("+get", &["GET", "T"]),
    ("+exists", &["EXISTS", "T"]),
    ("+pttl", &["PTTL", "T"]),
    ("+hset", &["HSET", "H", "f", "1"]),
    ("+pexpire", &["PEXPIRE", "H", LIFE]),
    ("+hsetnx", &["HSETNX", "H", "f", "1"]),
    ("+hget", &["HGET", "H", "f"]),
    ("+hmget", &["HMGET", "H", "f"]),
    ("+hincrby", &["HINCRBY", "H", "f", "1"]),
    ("+hlen", &["HLEN", "H"]),
    ("+hvals", &["HVALS", "H"]),
    ("+hscan", &["HSCAN", "H", "0"]),
    ("+hdel", &["HDEL", "H", "g"]),
    ("+sadd", &["SADD", "S", "m"]),
    ("+pexpire", &["PEXPIRE", "S", LIFE]),
    ("+scard", &["SCARD", "S"]),
    ("+smembers", &["SMEMBERS", "S"]),
    ("+sscan", &["SSCAN", "S", "0"]),
    ("+srandmember", &["SRANDMEMBER", "S"]),
    ("+srem", &["SREM", "S", "n"]),
    ("+rename", &["RENAME", "S", "S"]),
    ("+spop", &["SPOP", "S"]),
    ("+xadd", &["XADD", "X", "MAXLEN", "~", "10", "*", "f", "1"]),
    ("+pexpire", &["PEXPIRE", "X", LIFE]),
    ("+xlen", &["XLEN", "X"]),
    ("+xread", &["XREAD", "COUNT", "1", "STREAMS", "X", "0"]),
    ("+xrange", &["XRANGE", "X", "-", "+", "COUNT", "1"]),
    ("+xrevrange", &["XREVRANGE", "X", "+", "-", "COUNT", "1"]),
];

/// What is tried last, because it removes what the others made.
const REMOVAL: (&str, &[&str]) = ("+unlink", &["UNLINK", "T", "H", "S", "X"]);

/// The commands that a cluster needs in addition.
const TRIED_IN_CLUSTERS: &[(&str, &[&str])] =
    &[("+cluster|slots", &["CLUSTER", "SLOTS"]), ("+asking", &["ASKING"])];

/// What was refused.
#[derive(Debug, Default)]
struct Denied {
    rules: Vec<&'static str>,
    keys: bool,
    channel: bool,
    /// Something else that went wrong.
    failed: Option<String>,
}

impl Denied {
    /// Adds what came of trying a command that `rule` permits.
    fn add(&mut self, rule: &'static str, tried: Result<Value, CommandError>) {
        match tried {
            Err(CommandError::Refused(error)) if error.code() == Some("NOPERM") => {
                let detail = error.detail().unwrap_or_default();
                if detail.contains("channel") {
                    self.channel = true;
                } else if detail.contains("key") {
                    self.keys = true;
                } else if !self.rules.contains(&rule) {
                    self.rules.push(rule);
                }
            }
            Err(error @ (CommandError::Unavailable(_) | CommandError::Late { .. })) => {
                self.failed = Some(error.to_string());
            }
            // An error about a made-up argument does not matter: the command itself was permitted.
            _ => {}
        }
    }
}

/// The command of `words`, on keys that begin with `base`.
fn trial(words: &[&str], base: &str) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        match *word {
            "H" | "S" | "X" | "T" => command.arg(format!("{base}:{word}")),
            word => command.arg(word),
        };
    }
    command
}

impl Inner {
    pub(super) async fn access_findings(&self) -> Vec<Finding> {
        // All keys are in one slot, so that a cluster accepts them together.
        let base = format!("{}d:{{doctor:{:032x}}}", self.keys.prefix(), rand::random::<u128>());
        let in_cluster = if self.link.is_cluster() { TRIED_IN_CLUSTERS } else { &[] };
        let tracks = self.options.freshness != Freshness::Validated;
        let needed = TRIED.iter().filter(|(rule, _)| tracks || *rule != TRACKING);
        let mut trials: Vec<(&'static str, Cmd)> =
            needed.chain(in_cluster).map(|(rule, words)| (*rule, trial(words, &base))).collect();
        // The message has no changes, so no one acts on it.
        let mut publish = redis::cmd("PUBLISH");
        let nothing = json!({ "v": 1, "corpus": "default", "changes": [], "origin": format!("{:032x}", self.origin),
                              "at_ms": self.options.clock.now().as_millis() });
        publish.arg(self.keys.announcements()).arg(nothing.to_string());
        trials.push(("+publish", publish));

        // All at once: one after the other, they take a slow server a quarter of a minute, and the gateway
        // does not start meanwhile. A connection keeps their order.
        let limit = self.options.invalidate_timeout;
        let tried =
            join_all(trials.iter().map(async |(_, command)| self.control.send(command, &base, limit).await));
        let mut denied = Denied::default();
        for ((rule, _), tried) in trials.iter().zip(tried.await) {
            denied.add(rule, tried);
        }
        let (rule, words) = REMOVAL;
        denied.add(rule, self.control.send(&trial(words, &base), &base, limit).await);

        let permitted = denied.rules.is_empty() && !denied.keys && !denied.channel;
        let mut findings = vec![self.finding(denied).await];
        if permitted {
            findings.push(self.scripts(&base).await);
        }
        findings
    }

    async fn finding(&self, denied: Denied) -> Finding {
        if let Some(why) = denied.failed {
            let reason = format!("not all commands could be tried: {why}");
            return Finding::new("permissions", Severity::Problem, reason);
        }
        let mut rules: Vec<String> = denied.rules.iter().map(ToString::to_string).collect();
        let mut missing: Vec<String> = denied
            .rules
            .iter()
            .map(|rule| rule.trim_start_matches('+').replace('|', " ").to_uppercase())
            .collect();
        if denied.keys {
            missing.push(format!("keys that begin with {}", self.keys.prefix()));
            rules.push(format!("~{}*", self.keys.prefix()));
        }
        if denied.channel {
            missing.push(format!("the channel {}", self.keys.announcements()));
            rules.push(format!("&{}", self.keys.announcements()));
        }
        if missing.is_empty() {
            let reason = "every command, key and channel that the store needs is permitted";
            return Finding::new("permissions", Severity::Ok, reason);
        }
        let who = redis::cmd("ACL").arg("WHOAMI").to_owned();
        let who = self.control.send(&who, &self.keys.format(), self.options.invalidate_timeout).await.ok();
        let who = who.as_ref().and_then(reply::text).unwrap_or("<user>").to_owned();
        Finding::new("permissions", Severity::Problem, format!("{who} may not use {}", missing.join(", ")))
            .remedy(format!("ACL SETUSER {who} {}", rules.join(" ")))
    }

    /// Runs the scripts with which every lookup and fill begins.
    async fn scripts(&self, base: &str) -> Finding {
        let names = [format!("{base}:c"), format!("{base}:e"), format!("{base}:l")];
        let lookup = LOOKUP.call(&names).nonce().bytes("").bytes("").number(LIFE);
        let claim = CLAIM.call(&names[2..]).bytes("doctor").bytes("take").number(LIFE);
        let limit = self.options.invalidate_timeout;
        let (found, claimed) =
            join(self.control.call(&lookup, &names[0], limit), self.control.call(&claim, &names[2], limit))
                .await;
        let remove = redis::cmd("UNLINK").arg(&names[..]).to_owned();
        let _ = self.control.send(&remove, &names[0], limit).await;
        match (found, claimed) {
            (Ok(found), Ok(claimed))
                if reply::items(&found).and_then(|items| reply::text(items.first()?)) == Some("absent")
                    && reply::number(&claimed) == Some(1_i64) =>
            {
                Finding::new("scripts", Severity::Ok, "run as they should")
            }
            (Err(error), _) | (_, Err(error)) => {
                Finding::new("scripts", Severity::Problem, format!("they fail: {error}"))
            }
            _ => Finding::new("scripts", Severity::Problem, "they give other replies than they should"),
        }
    }
}
