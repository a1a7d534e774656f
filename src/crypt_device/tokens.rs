//! LUKS2 tokens that open a volume by a passphrase in the kernel's keyring: which of them may, and which keyslots of theirs.

use keyslots::KeyslotId;
use keyslots::luks2::{DigestIndex, Metadata, Priority};
use keyslots::secret::Passphrase;

use crate::keyring::{self, KeyringError};

/// A choice of tokens and keyslots to try.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenChoice<'a> {
    /// This token alone; its keyslots of the priority `ignore` too.
    pub id: Option<u32>,
    /// Tokens of this type alone.
    pub kind: Option<&'a str>,
    /// This keyslot alone, whatever its key is for.
    pub keyslot: Option<KeyslotId>,
    /// Also keyslots of other keys than that of the data.
    pub any_key: bool,
}

/// A token that may open some keyslots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableToken {
    /// Its number.
    pub id: u32,
    /// The keyslots.
    pub keyslots: Vec<KeyslotId>,
    description: Vec<u8>,
}

impl UsableToken {
    /// Reads its passphrase from the kernel's keyring.
    ///
    /// # Errors
    /// [`KeyringError`]: the key is not there, or may not be read.
    pub fn passphrase(&self) -> Result<Passphrase, KeyringError> {
        keyring::read_user_key(&self.description).map(Passphrase::new)
    }
}

/// The keyring tokens that a choice allows, in the order of their numbers.
pub fn usable(metadata: &Metadata, choice: &TokenChoice<'_>) -> Vec<UsableToken> {
    let digests = DigestIndex::new(metadata);
    let tokens = metadata.tokens.iter();
    tokens
        .filter(|(id, _)| choice.id.is_none_or(|wanted| wanted == **id))
        .filter(|(_, token)| choice.kind.is_none_or(|wanted| wanted == token.kind))
        .filter_map(|(&id, token)| {
            let description = token.key_description_bytes()?;
            let keyslots = token.keyslots.iter().copied();
            let keyslots: Vec<_> = keyslots
                .filter(|slot| choice.takes(metadata, &digests, *slot))
                .collect();
            (!keyslots.is_empty()).then_some(UsableToken {
                id,
                keyslots,
                description,
            })
        })
        .collect()
}

impl TokenChoice<'_> {
    fn takes(&self, metadata: &Metadata, digests: &DigestIndex<'_>, keyslot: KeyslotId) -> bool {
        let Some(found) = metadata.keyslots.get(&keyslot) else {
            return false;
        };
        let of_data = digests.is_bound(keyslot);
        let named = self.keyslot.map_or(of_data || self.any_key, |wanted| wanted == keyslot);
        named && (self.id.is_some() || found.priority() != Priority::Ignore)
    }
}

#[cfg(test)]
mod tests {
    use keyslots::hash::Hash;
    use keyslots::kdf::CostLimits;
    use keyslots::luks2::{self, Digest};
    use keyslots::secret::{Secret, VolumeKey};
    use keyslots::storage::Memory;
    use keyslots::wipe::Medium;

    use super::*;
    use crate::volume::fixtures::{cheap_header, cheap_keyslot};

    /// As in cryptsetup 2.6.1: a keyslot of another key would open, but not the data.
    #[test]
    fn a_token_opens_what_holds_the_key_of_the_data() {
        let limits = CostLimits::default();
        let key = VolumeKey::random(32).expect("random bytes");
        let params = cheap_header();
        let mut storage = Memory::zeroed(18 << 20);
        let mut header = luks2::Header::create(&params, &key, &limits).expect("a header");
        header.write_new(&mut storage, Medium::Other).expect("memory");
        let passphrase = Passphrase::new(Secret::copy_from(b"pw").expect("a page"));
        let sealed = cheap_keyslot().seal(&key, &passphrase, &limits).expect("memory");
        let digest = Digest::new(&key, Hash::Sha256, 1000, &limits).expect("memory");
        let mut change = header.begin().expect("a header that may be changed");
        change
            .add_keyslot(Some(KeyslotId::new(0)), &sealed, &key, &limits)
            .expect("room");
        change
            .add_unbound_keyslot(Some(KeyslotId::new(1)), &sealed, digest)
            .expect("room");
        change
            .add_keyslot(Some(KeyslotId::new(2)), &sealed, &key, &limits)
            .expect("room");
        change.commit(&mut storage, Medium::Other).expect("memory");
        header
            .set_priority(&mut storage, KeyslotId::new(2), Priority::Ignore)
            .expect("a keyslot");
        let digests = DigestIndex::new(header.metadata());
        let taken = |slot, any_key, ignored_too: bool| {
            let chosen = TokenChoice {
                id: ignored_too.then_some(0),
                kind: None,
                keyslot: slot,
                any_key,
            };
            let all = (0..4).filter(|&keyslot| chosen.takes(header.metadata(), &digests, KeyslotId::new(keyslot)));
            all.collect::<Vec<u32>>()
        };
        assert_eq!(taken(None, false, false), [0]);
        assert_eq!(taken(None, true, false), [0, 1]);
        assert_eq!(taken(None, false, true), [0, 2]);
        assert_eq!(taken(Some(KeyslotId::new(1)), false, false), [1]);
        assert!(taken(Some(KeyslotId::new(2)), false, false).is_empty());
    }
}
