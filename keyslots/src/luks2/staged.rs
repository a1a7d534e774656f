//! A passphrase that changes where the keyslots area has no room for a second copy of the key: the key waits in a token.
//!
//! The token has the keyslot as it will be, and the key under the new passphrase alone, in few stripes. It is in both
//! copies of the metadata before the area is overwritten in place, and goes with the write that puts the new keyslot into
//! its place: at each moment the old passphrase opens the keyslot, or the new one the keyslot or the token. Other programs
//! keep tokens that they do not know, and take the keyslots that they remove out of them; a token that names no keyslot
//! opens nothing, and goes with the next write.
//!
//! Anybody may import such a token. It costs one derivation, within the limits of every other, and what it opens is
//! checked against the keyslot's digest.

use super::fields::{Fields, base64_to_value};
use super::keyslot::{Keyslot, Luks2Keyslot};
use super::metadata::Metadata;
use super::tokens::Token;
use super::unlock::Sealed;
use super::{Defect, MAX_TOKENS};
use crate::material;
use crate::{Error, Result};

/// The type of such tokens.
pub const CHANGE_TOKEN: &str = "luksmith-keyslot-change";

/// A key that waits for its keyslot.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) keyslot: Luks2Keyslot,
    pub(super) material: Vec<u8>,
}

/// The token for the change of `slot` to `keyslot`.
fn token(slot: u32, keyslot: &Keyslot, sealed: &Sealed) -> Token {
    let members = [
        ("keyslot", keyslot.to_value()),
        ("material", base64_to_value(sealed.spare.expose())),
    ];
    Token {
        kind: CHANGE_TOKEN.to_owned(),
        keyslots: vec![slot],
        extra: members
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
        places: Default::default(),
    }
}

/// The key that waits for keyslot `slot`; of several, the first.
pub(super) fn waiting(metadata: &Metadata, slot: u32) -> Option<Waiting> {
    let there = metadata.keyslots.get(&slot)?;
    let mut tokens = metadata.tokens.values().filter(|token| is_for(token, slot));
    tokens.find_map(|token| parse(token, there.key_size).ok().flatten())
}

fn parse(token: &Token, key_size: u32) -> std::result::Result<Option<Waiting>, Defect> {
    let mut fields = Fields::new("token".to_owned(), token.extra.clone());
    let keyslot = Keyslot::parse(fields.object("keyslot")?)?;
    let key_len = key_size as usize;
    let len = material::padded_len(key_len, material::spare_stripes(key_len)).ok();
    let material = fields.base64("material", |found| Some(found) == len, "as long as the key")?;
    let known = keyslot.luks2().filter(|_| keyslot.key_size == key_size);
    Ok(known.map(|keyslot| Waiting {
        keyslot: keyslot.clone(),
        material,
    }))
}

/// Puts the key of `sealed` into `metadata`, in the place of whatever waited for `slot`.
///
/// # Errors
/// [`Error::AllTokensInUse`].
pub(super) fn put(metadata: &mut Metadata, slot: u32, keyslot: &Keyslot, sealed: &Sealed) -> Result<()> {
    forget(metadata, slot);
    let free = (0..MAX_TOKENS).find(|id| !metadata.tokens.contains_key(id));
    metadata
        .tokens
        .insert(free.ok_or(Error::AllTokensInUse)?, token(slot, keyslot, sealed));
    Ok(())
}

/// Drops what waits for `slot`.
pub(super) fn forget(metadata: &mut Metadata, slot: u32) {
    metadata.tokens.retain(|_, token| !is_for(token, slot));
}

/// Drops what waits for a keyslot that another program has removed.
pub(super) fn tidy(metadata: &mut Metadata) {
    metadata
        .tokens
        .retain(|_, token| token.kind != CHANGE_TOKEN || !token.keyslots.is_empty());
}

fn is_for(token: &Token, slot: u32) -> bool {
    token.kind == CHANGE_TOKEN && token.keyslots == [slot]
}
