//! Whether the servers answer, and whether their keys have the layout that this version writes.

use std::time::Duration;

use redis::Value;

use super::link::Link;
use super::{Inner, reply};
use crate::error::{Error, ErrorKind, Result};

/// The layout of keys and values. A server that has another layout is refused.
pub(super) const FORMAT: &str = "1";

impl Inner {
    /// Makes sure that lookups reach the servers: over their own connection, and within their own time limit.
    pub(super) async fn ready(&self) -> Result<()> {
        self.check_open()?;
        self.check_layout(&self.link, self.command_limit()).await?;
        self.link.send_to_all(&redis::cmd("PING"), self.command_limit()).await?;
        Ok(())
    }

    /// Makes sure, once, that the server was not used with another layout.
    pub(super) async fn check_layout(&self, link: &Link, limit: Duration) -> Result<()> {
        self.checked.get_or_try_init(|| self.compare_layout(link, limit)).await.copied()
    }

    pub(super) async fn compare_layout(&self, link: &Link, limit: Duration) -> Result<()> {
        let key = self.keys.format();
        for (field, ours) in
            [("format", FORMAT.to_owned()), ("buckets", self.keys.bucket_count().to_string())]
        {
            let mut get = redis::cmd("HGET");
            get.arg(&key).arg(field);
            let mut found = link.send(&get, &key, limit).await?;
            // A server that is full can still be read.
            if found == Value::Nil {
                let mut set = redis::cmd("HSETNX");
                set.arg(&key).arg(field).arg(&ours);
                link.send(&set, &key, limit).await?;
                found = link.send(&get, &key, limit).await?;
            }
            if reply::text(&found) != Some(&*ours) {
                let found = reply::text(&found).unwrap_or("nothing").to_owned();
                let message = format!(
                    "{} is in use with {field} {found}, not {ours}: use the same, or another prefix",
                    self.address
                );
                return Err(Error::new(ErrorKind::Config, message));
            }
        }
        Ok(())
    }
}
