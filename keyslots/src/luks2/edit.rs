//! Changes of the metadata alone: labels, UUID, flags, priorities, tokens. Not for: key material, see [`super::transaction`].

use super::format::{LABEL_LEN, UUID_LEN};
use super::keyslot::Priority;
use super::tokens::Token;
use super::{CHANGE_TOKEN, Header, MAX_TOKENS, Metadata, Transaction, staged};
use crate::storage::Storage;
use crate::wipe::Medium;
use crate::{Error, KeyslotId, Result};

impl Transaction<'_> {
    /// Sets the priority of a keyslot.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`].
    pub fn set_priority(&mut self, slot: KeyslotId, priority: Priority) -> Result<()> {
        let keyslots = &mut self.next.metadata.keyslots;
        let keyslot = keyslots.get_mut(&slot).ok_or(Error::KeyslotInactive(slot))?;
        // cryptsetup leaves a normal priority out.
        keyslot.priority = (priority != Priority::Normal).then_some(priority);
        Ok(())
    }

    /// Sets label and subsystem; `None` leaves one unchanged.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one that is too long.
    pub fn set_labels(&mut self, label: Option<&str>, subsystem: Option<&str>) -> Result<()> {
        if let Some(label) = label {
            self.next.binary.label = checked_text("label", label, LABEL_LEN)?.as_str().into();
        }
        if let Some(subsystem) = subsystem {
            self.next.binary.subsystem = checked_text("subsystem", subsystem, LABEL_LEN)?.as_str().into();
        }
        Ok(())
    }

    /// Puts `token` into `id`, or the first free place; an existing one is overwritten only with `replace`.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for a token with the key of an interrupted change, [`Error::TokenHoldsKey`] to overwrite one;
    /// [`Error::TokenInUse`], [`Error::AllTokensInUse`], [`Error::TokenOutOfRange`], [`Error::KeyslotInactive`] for a
    /// keyslot that does not exist.
    pub fn put_token(&mut self, token: Token, id: Option<u32>, replace: bool) -> Result<u32> {
        if token.kind == CHANGE_TOKEN {
            return Err(Error::BadParameter {
                field: "token type",
                value: token.kind,
                rule: "only a change of a passphrase makes such tokens",
            });
        }
        if let Some(id) = id.filter(|_| replace) {
            staged::check_may_go(&self.next.metadata, id)?;
        }
        let Metadata { tokens, keyslots, .. } = &mut self.next.metadata;
        let id = match id {
            Some(id) if id >= MAX_TOKENS => return Err(Error::TokenOutOfRange(id)),
            Some(id) if tokens.contains_key(&id) && !replace => return Err(Error::TokenInUse(id)),
            Some(id) => id,
            None => (0..MAX_TOKENS)
                .find(|id| !tokens.contains_key(id))
                .ok_or(Error::AllTokensInUse)?,
        };
        if let Some(&missing) = token.keyslots.iter().find(|slot| !keyslots.contains_key(slot)) {
            return Err(Error::KeyslotInactive(missing));
        }
        tokens.insert(id, token);
        Ok(id)
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`Error::TokenNotInUse`]; [`Error::TokenHoldsKey`] where an interrupted change needs it.
    pub fn remove_token(&mut self, id: u32) -> Result<()> {
        staged::check_may_go(&self.next.metadata, id)?;
        let removed = self.next.metadata.tokens.remove(&id);
        removed.map(drop).ok_or(Error::TokenNotInUse(id))
    }

    /// Makes a token name `keyslot`, or no longer name it where `assign` is false.
    ///
    /// # Errors
    /// [`Error::TokenNotInUse`], [`Error::KeyslotInactive`] for a keyslot to assign, [`Error::TokenNotAssigned`];
    /// [`Error::TokenHoldsKey`] where an interrupted change needs it as it is.
    pub fn assign_token(&mut self, id: u32, keyslot: KeyslotId, assign: bool) -> Result<()> {
        staged::check_may_go(&self.next.metadata, id)?;
        let metadata = &mut self.next.metadata;
        if assign && !metadata.keyslots.contains_key(&keyslot) {
            return Err(Error::KeyslotInactive(keyslot));
        }
        let token = metadata.tokens.get_mut(&id).ok_or(match assign {
            true => Error::TokenNotInUse(id),
            false => Error::TokenNotAssigned { token: id, keyslot },
        })?;
        let named = token.keyslots.contains(&keyslot);
        token.keyslots.retain(|&named| named != keyslot);
        if assign {
            token.keyslots.push(keyslot);
            token.keyslots.sort_unstable();
        } else if !named {
            return Err(Error::TokenNotAssigned { token: id, keyslot });
        }
        Ok(())
    }

    /// Sets the UUID.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one that is too long.
    pub fn set_uuid(&mut self, uuid: &str) -> Result<()> {
        self.next.binary.uuid = checked_text("uuid", uuid, UUID_LEN)?;
        Ok(())
    }

    /// Sets the persistent activation flags.
    pub fn set_flags(&mut self, flags: Vec<String>) {
        self.next.metadata.config.flags = flags;
    }
}

impl Header {
    /// [`Transaction::set_priority`] alone.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`], or the storage's.
    pub fn set_priority(&mut self, storage: &mut dyn Storage, slot: KeyslotId, priority: Priority) -> Result<()> {
        self.change(storage, |change| change.set_priority(slot, priority))
    }

    /// [`Transaction::set_labels`] alone.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one that is too long, or the storage's.
    pub fn set_labels(
        &mut self,
        storage: &mut dyn Storage,
        label: Option<&str>,
        subsystem: Option<&str>,
    ) -> Result<()> {
        self.change(storage, |change| change.set_labels(label, subsystem))
    }

    /// [`Transaction::set_uuid`] alone.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one that is too long, or the storage's.
    pub fn set_uuid(&mut self, storage: &mut dyn Storage, uuid: &str) -> Result<()> {
        self.change(storage, |change| change.set_uuid(uuid))
    }

    /// [`Transaction::set_flags`] alone.
    ///
    /// # Errors
    /// The storage's.
    pub fn set_flags(&mut self, storage: &mut dyn Storage, flags: Vec<String>) -> Result<()> {
        self.change(storage, |change| {
            change.set_flags(flags);
            Ok(())
        })
    }

    /// [`Transaction::put_token`] alone.
    ///
    /// # Errors
    /// Those of [`Transaction::put_token`], or the storage's.
    pub fn put_token(
        &mut self,
        storage: &mut dyn Storage,
        token: Token,
        id: Option<u32>,
        replace: bool,
    ) -> Result<u32> {
        self.change(storage, |change| change.put_token(token, id, replace))
    }

    /// [`Transaction::remove_token`] alone.
    ///
    /// # Errors
    /// [`Error::TokenNotInUse`], or the storage's.
    pub fn remove_token(&mut self, storage: &mut dyn Storage, id: u32) -> Result<()> {
        self.change(storage, |change| change.remove_token(id))
    }

    /// [`Transaction::assign_token`] alone.
    ///
    /// # Errors
    /// Those of [`Transaction::assign_token`], or the storage's.
    pub fn assign_token(&mut self, storage: &mut dyn Storage, id: u32, keyslot: KeyslotId, assign: bool) -> Result<()> {
        self.change(storage, |change| change.assign_token(id, keyslot, assign))
    }

    /// A change that has no keys in it, and so nothing to wipe.
    fn change<T>(
        &mut self,
        storage: &mut dyn Storage,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut transaction = self.begin()?;
        let done = change(&mut transaction)?;
        transaction.commit(storage, Medium::Other)?;
        Ok(done)
    }
}

fn checked_text(field: &'static str, text: &str, room: usize) -> Result<String> {
    if text.len() >= room || text.contains('\0') {
        let rule = "is longer than its field, or has a NUL";
        return Err(Error::BadParameter {
            field,
            value: text.to_owned(),
            rule,
        });
    }
    Ok(text.to_owned())
}
