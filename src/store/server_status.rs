//! What a server reports about itself.

use serde::Serialize;

/// A server that holds a shared store.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Its address, without a password.
    pub address: String,
    /// The server software: `valkey` or `redis`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `master` or `slave`, in the servers' own words.
    pub role: String,
    /// Seconds since it was started.
    pub uptime_secs: u64,
    /// The memory that it uses in bytes, for all its data.
    pub used_memory: u64,
    /// The most memory that it may use; 0 if there is no limit.
    pub max_memory: u64,
    /// What it evicts when that is used up.
    pub policy: String,
    /// Keys that it evicted for lack of room since it was started.
    pub evicted_keys: u64,
    /// Keys that it removed since it was started because their time was over.
    pub expired_keys: u64,
    /// The servers that follow it.
    pub replicas: Vec<ReplicaStatus>,
}

/// A server that follows another.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ReplicaStatus {
    /// Its address.
    pub address: String,
    /// `online` once its initial synchronisation is complete.
    pub state: String,
    /// Seconds since it was last heard of.
    pub lag_secs: u64,
}

#[cfg(feature = "valkey")]
impl ServerStatus {
    /// Parses the output of `INFO`.
    pub(super) fn parse(address: String, info: &str) -> Self {
        let text = |name: &str| field(info, name).unwrap_or_default().to_owned();
        let number = |name: &str| field(info, name).and_then(|value| value.parse().ok()).unwrap_or(0);
        let name = field(info, "server_name").unwrap_or("redis").to_owned();
        let version = field(info, "valkey_version").or_else(|| field(info, "redis_version"));
        Self {
            address,
            name,
            version: version.unwrap_or_default().to_owned(),
            role: text("role"),
            uptime_secs: number("uptime_in_seconds"),
            used_memory: number("used_memory"),
            max_memory: number("maxmemory"),
            policy: text("maxmemory_policy"),
            evicted_keys: number("evicted_keys"),
            expired_keys: number("expired_keys"),
            replicas: info.lines().filter_map(ReplicaStatus::parse).collect(),
        }
    }
}

#[cfg(feature = "valkey")]
impl ReplicaStatus {
    /// Parses a line such as `slave0:ip=127.0.0.1,port=7001,state=online,offset=14,lag=0`.
    fn parse(line: &str) -> Option<Self> {
        let (name, fields) = line.trim().split_once(':')?;
        name.strip_prefix("slave")?.parse::<u32>().ok()?;
        let field =
            |name: &str| fields.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            address: format!("{}:{}", field("ip")?, field("port")?),
            state: field("state")?.to_owned(),
            lag_secs: field("lag").and_then(|lag| lag.parse().ok()).unwrap_or(0),
        })
    }
}

/// A line of `INFO`.
#[cfg(feature = "valkey")]
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[cfg(all(test, feature = "valkey"))]
mod tests {
    use super::*;

    #[test]
    fn what_servers_report_is_read() {
        let info = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n\
                    used_memory:10\r\nused_memory_human:10B\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n\
                    slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=1\r\nslave_repl_offset:3\r\n";
        let status = ServerStatus::parse("here".into(), info);
        assert_eq!((status.name.as_str(), status.version.as_str()), ("valkey", "8.0.1"));
        assert_eq!((status.used_memory, status.max_memory, status.policy.as_str()), (10, 0, "noeviction"));
        let [replica] = &status.replicas[..] else { panic!("{:?}", status.replicas) };
        assert_eq!((replica.address.as_str(), replica.lag_secs), ("10.0.0.2:6379", 1));
        let redis = ServerStatus::parse(String::new(), "redis_version:7.4.0\r\n");
        assert_eq!((redis.name.as_str(), redis.version.as_str()), ("redis", "7.4.0"));
    }
}
