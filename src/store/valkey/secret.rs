//! The secret that all processes of a deployment share.

use super::{Inner, reply};
use crate::error::Result;

impl Inner {
    /// Returns the secret that the servers have, or stores `offered` as their secret if they have none.
    pub(super) async fn secret(&self, offered: [u8; 32]) -> Result<[u8; 32]> {
        self.check_open()?;
        let key = self.keys.secret();
        // Requests wait for the secret, so this has the time limit and the circuit breaker of a lookup.
        let limit = self.command_limit();
        let set = redis::cmd("SET").arg(&key).arg(&offered).arg("NX").to_owned();
        self.link.send(&set, &key, limit).await?;
        // If several processes offered one at once, this reads the first.
        let get = redis::cmd("GET").arg(&key).to_owned();
        let kept = self.link.send(&get, &key, limit).await?;
        let secret = reply::bytes(&kept).and_then(|bytes| bytes.try_into().ok());
        secret.ok_or_else(|| reply::unexpected("a secret"))
    }
}
