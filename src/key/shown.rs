//! Ids of entries as they are shown to callers.

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};

use super::{EntryId, ShownId, hash};

/// The secret with which ids are encrypted before they are shown.
///
/// The id of an entry is a hash of what it answers, so anyone who knows that can compute it. Callers are
/// shown that id encrypted, as one block of AES-256. Each secret gives another permutation of all ids, so a
/// shown id reveals nothing, and a made-up one is the id of no entry.
pub struct IdKey(Aes256);

impl IdKey {
    /// The key that is made from `secret`.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Aes256::new(&hash("wellspring.shown.1", &[secret]).into()))
    }

    /// The form in which `id` is shown.
    pub fn show(&self, id: EntryId) -> ShownId {
        let mut block = id.0.into();
        self.0.encrypt_block(&mut block);
        ShownId(block.into())
    }

    /// The entry that `shown` stands for, whether or not there is one.
    pub fn entry(&self, shown: ShownId) -> EntryId {
        let mut block = shown.0.into();
        self.0.decrypt_block(&mut block);
        EntryId(block.into())
    }
}

impl std::fmt::Debug for IdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_leads_back_under_the_same_secret_only() {
        let (key, other) = (IdKey::new(&[1; 32]), IdKey::new(&[2; 32]));
        let id = EntryId::from_bytes([7; 16]);
        let shown = key.show(id);
        assert_eq!((key.entry(shown), IdKey::new(&[1; 32]).show(id)), (id, shown));
        assert!(shown.0 != id.0 && other.show(id) != shown && other.entry(shown) != id);
        assert_eq!(shown.to_string().parse::<ShownId>().unwrap(), shown);
    }
}
