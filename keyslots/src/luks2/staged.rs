//! A passphrase that changes where the keyslots area has no room for a second copy of the key: the key is staged in a
//! token.
//!
//! The token has the future keyslot, and the key under the new passphrase alone, in few stripes. It is in both copies of
//! the metadata before the area is overwritten in place, and is removed with the write that puts the new keyslot into its
//! place: at each moment the old passphrase opens the keyslot, or the new one the keyslot or the token. Other programs
//! keep tokens that they do not know, and take the keyslots that they remove out of them.
//!
//! A token is valid for the keyslot that it was made for: it has the number and the salt of the one that it replaces, and
//! still lists it. If another program has removed that keyslot, or given it another passphrase, the token opens nothing,
//! and is removed with the next write.
//!
//! A header from another source may have such tokens. Each costs one derivation, within the limits of every other, and the
//! key in it is checked against the keyslot's digest.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{Fields, base64_to_value};
use super::keyslot::{Keyslot, Luks2Keyslot};
use super::metadata::Metadata;
use super::tokens::Token;
use super::wrapped::WrappedKeyslot;
use super::{Defect, MAX_TOKENS};
use crate::material;
use crate::{Error, KeyslotId, Result};

/// The type of such tokens.
pub const CHANGE_TOKEN: &str = "luksmith-keyslot-change";

/// A key that is staged for its keyslot.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) keyslot: Luks2Keyslot,
    pub(super) material: Vec<u8>,
}

/// The token for the change of `slot` from a keyslot with the salt `replaces` to `keyslot`.
fn token(slot: KeyslotId, replaces: Value, keyslot: &Keyslot, sealed: &WrappedKeyslot) -> Token {
    let members = [
        ("slot", slot.get().into()),
        ("replaces", replaces),
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

/// The keys that are staged for keyslot `slot`: one, unless more were put there by hand.
pub(super) fn waiting(metadata: &Metadata, slot: KeyslotId) -> impl Iterator<Item = Waiting> {
    let there = metadata.keyslots.get(&slot).map(|there| there.key_size);
    let tokens = metadata
        .tokens
        .values()
        .filter(move |token| slot_of(&metadata.keyslots, token) == Some(slot));
    tokens.filter_map(move |token| parse(token, there?).ok().flatten())
}

/// The keyslot that `token` has a key for.
pub(super) fn slot_of(keyslots: &BTreeMap<KeyslotId, Keyslot>, token: &Token) -> Option<KeyslotId> {
    if token.kind != CHANGE_TOKEN {
        return None;
    }
    let slot = token.extra.get("slot")?.as_u64()?;
    let slot = u32::try_from(slot)
        .ok()
        .map(KeyslotId::new)
        .filter(|slot| token.keyslots.contains(slot))?;
    let there = keyslots.get(&slot)?.luks2()?;
    (*token.extra.get("replaces")? == base64_to_value(&there.salt)).then_some(slot)
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

/// Puts the key of `sealed` into `metadata`, in the place of any that was staged for `slot`.
///
/// # Errors
/// [`Error::KeyslotInactive`], [`Error::AllTokensInUse`].
pub(super) fn put(metadata: &mut Metadata, slot: KeyslotId, keyslot: &Keyslot, sealed: &WrappedKeyslot) -> Result<()> {
    let there = metadata.keyslots.get(&slot).and_then(Keyslot::luks2);
    let replaces = base64_to_value(&there.ok_or(Error::KeyslotInactive(slot))?.salt);
    forget(metadata, slot);
    tidy(metadata);
    let free = (0..MAX_TOKENS).find(|id| !metadata.tokens.contains_key(id));
    metadata.tokens.insert(
        free.ok_or(Error::AllTokensInUse)?,
        token(slot, replaces, keyslot, sealed),
    );
    Ok(())
}

/// Drops the keys that are staged for `slot`.
pub(super) fn forget(metadata: &mut Metadata, slot: KeyslotId) {
    let Metadata { tokens, keyslots, .. } = metadata;
    tokens.retain(|_, token| slot_of(keyslots, token) != Some(slot));
}

/// Drops the keys that are staged for a keyslot that another program has removed or changed.
pub(super) fn tidy(metadata: &mut Metadata) {
    let Metadata { tokens, keyslots, .. } = metadata;
    tokens.retain(|_, token| token.kind != CHANGE_TOKEN || slot_of(keyslots, token).is_some());
}

/// Drops all staged keys; returns whether there were any.
pub(super) fn forget_all(metadata: &mut Metadata) -> bool {
    let before = metadata.tokens.len();
    metadata.tokens.retain(|_, token| token.kind != CHANGE_TOKEN);
    metadata.tokens.len() != before
}

/// Checks that token `id` may be removed, or no longer list a keyslot.
///
/// # Errors
/// [`Error::TokenHoldsKey`] where it has the only copy of a key, perhaps.
pub(super) fn check_may_go(metadata: &Metadata, id: u32) -> Result<()> {
    let token = metadata.tokens.get(&id);
    match token.and_then(|token| slot_of(&metadata.keyslots, token)) {
        Some(keyslot) => Err(Error::TokenHoldsKey { token: id, keyslot }),
        None => Ok(()),
    }
}
