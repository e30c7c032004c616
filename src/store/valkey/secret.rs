//! The secret that all processes of a deployment share.

use super::{Inner, reply};
use crate::error::Result;

impl Inner {
    /// The secret that the servers have, or `offered`, which they have from then on.
    pub(super) async fn secret(&self, offered: [u8; 32]) -> Result<[u8; 32]> {
        self.check_open()?;
        let key = self.keys.secret();
        // Requests wait for it, so it has the time and the breaker of a lookup.
        let limit = self.command_limit();
        let set = redis::cmd("SET").arg(&key).arg(&offered).arg("NX").to_owned();
        self.link.send(&set, &key, limit).await?;
        // Whichever of those that came together was first.
        let get = redis::cmd("GET").arg(&key).to_owned();
        let kept = self.link.send(&get, &key, limit).await?;
        let secret = reply::bytes(&kept).and_then(|bytes| bytes.try_into().ok());
        secret.ok_or_else(|| reply::unexpected("a secret"))
    }
}
