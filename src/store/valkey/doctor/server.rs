//! What each server reports of itself, and what it means for the store.

use std::collections::HashMap;

use super::Settings;
use crate::store::server_status::field;
use crate::store::valkey::Inner;
use crate::store::{Finding, ServerStatus, Severity};

/// A replica that was last heard from longer ago than this holds up invalidations.
const LAG_SECS: u64 = 5;

impl Inner {
    /// The findings about each server.
    pub(super) async fn servers_findings(&self, settings: &Settings) -> Vec<Finding> {
        let sections = ["server", "memory", "stats", "replication", "persistence"];
        let infos = match self.infos(&sections).await {
            Ok(infos) => infos,
            Err(error) => {
                let reason = format!("the server does not report on itself: {error}");
                return vec![Finding::new("server", Severity::Problem, reason)];
            }
        };
        let single = infos.len() == 1;
        let mut findings = Vec::new();
        for (address, info) in infos {
            let server = ServerStatus::parse(address.clone(), &info);
            let known = settings.of(&address);
            let mut found = vec![version(&server), role(&server), memory(&server), persistence(&info, known)];
            found.push(replicas(&server, known));
            found.extend(known.map_or_else(unseen, configured));
            for finding in &mut found {
                if !single {
                    finding.servers.push(address.clone());
                }
            }
            findings.extend(found);
        }
        // Groups the findings by check, rather than by server.
        let order: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
        let place = |check: &str| order.iter().position(|other| *other == check);
        findings.sort_by_key(|finding| place(finding.check));
        findings
    }
}

fn version(server: &ServerStatus) -> Finding {
    let (name, version) = (&server.name, &server.version);
    let major = version.split('.').next().and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    if major < 7 {
        let reason = format!("{name} {version} is older than Redis 7.0, whose SET NX GET lookups need");
        return Finding::new("version", Severity::Problem, reason)
            .remedy("use Valkey 7.2 or newer, or Redis 7.0 or newer");
    }
    Finding::new("version", Severity::Ok, format!("{name} {version}"))
}

fn role(server: &ServerStatus) -> Finding {
    if server.role == "master" {
        return Finding::new("role", Severity::Ok, "primary");
    }
    let reason = "a replica: it accepts no writes, and reading from it could serve stale answers";
    Finding::new("role", Severity::Problem, reason).remedy("name the primary in store.url, or its sentinels")
}

fn memory(server: &ServerStatus) -> Finding {
    let used = mib(server.used_memory);
    let policy = server.policy.as_str();
    if server.max_memory == 0 {
        let reason = format!("{used} used, without a limit: the server grows until the system kills it");
        return Finding::new("memory", Severity::Warning, reason)
            .remedy("CONFIG SET maxmemory 1gb maxmemory-policy volatile-lfu");
    }
    let room = format!("{used} of {} used, {policy}", mib(server.max_memory));
    let remedy = "CONFIG SET maxmemory-policy volatile-lfu";
    match policy {
        "volatile-lfu" => Finding::new("memory", Severity::Ok, room),
        "noeviction" => {
            let reason = format!(
                "{room}: once it is full, nothing new is stored and invalidations drop whole buckets"
            );
            Finding::new("memory", Severity::Warning, reason).remedy(remedy)
        }
        policy if policy.starts_with("allkeys") => {
            let reason =
                format!("{room}: it may evict clocks, and an evicted clock loses every answer in its bucket");
            Finding::new("memory", Severity::Warning, reason).remedy(remedy)
        }
        _ => {
            let reason = format!("{room}: safe; volatile-lfu would keep the answers that are asked for most");
            Finding::new("memory", Severity::Ok, reason).remedy(remedy)
        }
    }
}

fn persistence(info: &str, settings: Option<&HashMap<String, String>>) -> Finding {
    if field(info, "rdb_last_bgsave_status").is_some_and(|status| status == "err") {
        let reason =
            "the last snapshot failed: with stop-writes-on-bgsave-error nothing is stored or invalidated";
        return Finding::new("persistence", Severity::Problem, reason)
            .remedy("free space on the server's disk, or CONFIG SET save \"\"");
    }
    let aof = field(info, "aof_enabled") == Some("1");
    let rdb = settings.and_then(|settings| settings.get("save")).map(|save| !save.is_empty());
    let kept = match (aof, rdb) {
        (true, _) => "append-only file; after a restart every answer is made again anyway, and none is stale",
        (false, Some(true)) => {
            "snapshots; after a restart every answer is made again anyway, and none is stale"
        }
        (false, Some(false)) => "none, and none is needed: after a restart every answer is made again",
        (false, None) => "no append-only file; after a restart every answer is made again, and none is stale",
    };
    Finding::new("persistence", Severity::Ok, kept)
}

fn replicas(server: &ServerStatus, settings: Option<&HashMap<String, String>>) -> Finding {
    if server.replicas.is_empty() {
        let reason = "none: while the server is down, answers are made without the cache";
        return Finding::new("replicas", Severity::Ok, reason);
    }
    let count = server.replicas.len();
    let slow: Vec<&str> = server
        .replicas
        .iter()
        .filter(|replica| replica.state == "online" && replica.lag_secs > LAG_SECS)
        .map(|replica| replica.address.as_str())
        .collect();
    if !slow.is_empty() {
        let reason = format!(
            "{} silent for more than {LAG_SECS} s: invalidations wait for it and stay incomplete",
            slow.join(", ")
        );
        return Finding::new("replicas", Severity::Warning, reason)
            .remedy("repair its network, or remove it by running REPLICAOF NO ONE on it");
    }
    let online = server.replicas.iter().filter(|replica| replica.state == "online").count();
    let reason =
        format!("{online} of {count} online; invalidations wait for those, and nothing is read from them");
    if settings.is_some_and(|settings| settings.get("min-replicas-to-write").is_some_and(|min| min == "0")) {
        let reason = format!("{reason}; a primary that is cut off from all of them keeps serving");
        return Finding::new("replicas", Severity::Warning, reason)
            .remedy("CONFIG SET min-replicas-to-write 1 min-replicas-max-lag 10");
    }
    if online < count {
        return Finding::new("replicas", Severity::Warning, reason);
    }
    Finding::new("replicas", Severity::Ok, reason)
}

/// The findings when the settings are not visible.
fn unseen() -> Vec<Finding> {
    let reason =
        "this user may not see them, so lazy freeing, replication and script limits were not checked";
    vec![
        Finding::new("settings", Severity::Unknown, reason)
            .remedy("run it as an administrator, or compare with deploy/valkey.conf"),
    ]
}

fn configured(settings: &HashMap<String, String>) -> Vec<Finding> {
    let is = |name: &str, value: &str| settings.get(name).is_none_or(|found| found == value);
    let mut wrong = Vec::new();
    let lazy = ["lazyfree-lazy-eviction", "lazyfree-lazy-expire", "lazyfree-lazy-user-del"];
    let eager: Vec<&str> = lazy.into_iter().filter(|name| !is(name, "yes")).collect();
    if !eager.is_empty() {
        let sets: Vec<String> = eager.iter().map(|name| format!("{name} yes")).collect();
        let reason = format!("{} off: removing a large set blocks every client", eager.join(", "));
        wrong.push(
            Finding::new("settings", Severity::Warning, reason)
                .remedy(format!("CONFIG SET {}", sets.join(" "))),
        );
    }
    if !is("repl-backlog-ttl", "0") {
        let reason =
            "a primary without replicas for that long takes a new replication id, which resets every clock";
        wrong.push(
            Finding::new("settings", Severity::Warning, format!("repl-backlog-ttl is not 0: {reason}"))
                .remedy("CONFIG SET repl-backlog-ttl 0"),
        );
    }
    let busy = settings.get("busy-reply-threshold").and_then(|value| value.parse::<i64>().ok());
    if busy.is_some_and(|millis| (1..1_000).contains(&millis)) {
        let reason =
            "busy-reply-threshold is so short that a large invalidation may be taken for a runaway script";
        wrong.push(
            Finding::new("settings", Severity::Warning, reason)
                .remedy("CONFIG SET busy-reply-threshold 5000"),
        );
    }
    if wrong.is_empty() {
        let reason = "lazy freeing, replication backlog and script limit are as recommended";
        wrong.push(Finding::new("settings", Severity::Ok, reason));
    }
    wrong
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(policy: &str, max_memory: u64) -> ServerStatus {
        ServerStatus { policy: policy.into(), max_memory, ..ServerStatus::default() }
    }

    #[test]
    fn a_limit_and_a_policy_are_wanted() {
        for (policy, max, severity) in [
            ("noeviction", 0, Severity::Warning),
            ("noeviction", 1, Severity::Warning),
            ("allkeys-lru", 1, Severity::Warning),
            ("volatile-ttl", 1, Severity::Ok),
            ("volatile-lfu", 1, Severity::Ok),
        ] {
            assert_eq!(memory(&server(policy, max)).severity, severity, "{policy} {max}");
        }
    }

    #[test]
    fn old_servers_and_replicas_are_problems() {
        let of = |name: &str, number: &str, role: &str| ServerStatus {
            name: name.into(),
            version: number.into(),
            role: role.into(),
            ..ServerStatus::default()
        };
        assert_eq!(version(&of("redis", "6.2.14", "master")).severity, Severity::Problem);
        assert_eq!(version(&of("valkey", "8.1.0", "master")).severity, Severity::Ok);
        assert_eq!(role(&of("valkey", "8.1.0", "slave")).severity, Severity::Problem);
    }

    #[test]
    fn settings_are_named_with_the_command_that_changes_them() {
        let settings = HashMap::from([
            ("lazyfree-lazy-expire".to_owned(), "no".to_owned()),
            ("repl-backlog-ttl".to_owned(), "3600".to_owned()),
        ]);
        let remedies: Vec<_> =
            configured(&settings).into_iter().filter_map(|finding| finding.remedy).collect();
        assert_eq!(remedies, ["CONFIG SET lazyfree-lazy-expire yes", "CONFIG SET repl-backlog-ttl 0"]);
        assert_eq!(configured(&HashMap::new())[0].severity, Severity::Ok);
    }
}
