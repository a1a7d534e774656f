//! Changes of the metadata alone: labels, flags, priorities, tokens; related ones in one write.
//!
//! An [`Edit`] changes a header in memory, and its changes reach the device in one write, or not at all. Not for: key
//! material, see [`super::update`].

use super::copies::Copy;
use super::format::{LABEL_LEN, UUID_LEN};
use super::keyslot::Priority;
use super::tokens::Token;
use super::{CHANGE_TOKEN, Header, MAX_TOKENS, Metadata, staged};
use crate::storage::Storage;
use crate::{Error, Result};

/// Metadata that are being changed; see [`Header::edit`].
#[derive(Debug)]
pub struct Edit<'a> {
    copy: &'a mut Copy,
}

impl<'a> Edit<'a> {
    pub(super) fn new(copy: &'a mut Copy) -> Self {
        Self { copy }
    }

    /// The metadata with the changes so far.
    pub fn metadata(&self) -> &Metadata {
        &self.copy.metadata
    }

    /// Sets the priority of a keyslot.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`].
    pub fn set_priority(&mut self, slot: u32, priority: Priority) -> Result<()> {
        let keyslots = &mut self.copy.metadata.keyslots;
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
            self.copy.binary.label = checked_text("label", label, LABEL_LEN)?.as_str().into();
        }
        if let Some(subsystem) = subsystem {
            self.copy.binary.subsystem = checked_text("subsystem", subsystem, LABEL_LEN)?.as_str().into();
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
            staged::check_may_go(&self.copy.metadata, id)?;
        }
        let Metadata { tokens, keyslots, .. } = &mut self.copy.metadata;
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
        staged::check_may_go(&self.copy.metadata, id)?;
        let removed = self.copy.metadata.tokens.remove(&id);
        removed.map(drop).ok_or(Error::TokenNotInUse(id))
    }

    /// Makes a token name `keyslot`, or no longer name it where `assign` is false.
    ///
    /// # Errors
    /// [`Error::TokenNotInUse`], [`Error::KeyslotInactive`] for a keyslot to assign, [`Error::TokenNotAssigned`];
    /// [`Error::TokenHoldsKey`] where an interrupted change needs it as it is.
    pub fn assign_token(&mut self, id: u32, keyslot: u32, assign: bool) -> Result<()> {
        staged::check_may_go(&self.copy.metadata, id)?;
        let metadata = &mut self.copy.metadata;
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
}

impl Header {
    /// Writes all changes made by `edit` at once. On an error, also one of `edit`, the header is as before, here and on the
    /// device, except for [`Error::HalfWritten`].
    ///
    /// # Errors
    /// Those of `edit`; [`Error::UnmetRequirements`], [`Error::InReencryption`], [`Error::ChangedMeanwhile`], or the storage's.
    pub fn edit<T, E: From<Error>>(
        &mut self,
        storage: &mut dyn Storage,
        edit: impl FnOnce(&mut Edit<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.check_changeable()?;
        let before = self.copy.clone();
        let result = edit(&mut Edit::new(&mut self.copy)).and_then(|done| {
            self.write(storage)?;
            Ok(done)
        });
        result.inspect_err(|_| self.restore_unless_written(&before))
    }

    /// [`Edit::set_priority`] alone.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`], or the storage's.
    pub fn set_priority(&mut self, storage: &mut dyn Storage, slot: u32, priority: Priority) -> Result<()> {
        self.edit(storage, |edit| edit.set_priority(slot, priority))
    }

    /// [`Edit::set_labels`] alone.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one that is too long, or the storage's.
    pub fn set_labels(
        &mut self,
        storage: &mut dyn Storage,
        label: Option<&str>,
        subsystem: Option<&str>,
    ) -> Result<()> {
        self.edit(storage, |edit| edit.set_labels(label, subsystem))
    }

    /// Sets the UUID.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one that is too long, or the storage's.
    pub fn set_uuid(&mut self, storage: &mut dyn Storage, uuid: &str) -> Result<()> {
        self.edit(storage, |edit| {
            edit.copy.binary.uuid = checked_text("uuid", uuid, UUID_LEN)?;
            Ok(())
        })
    }

    /// Sets the persistent activation flags.
    ///
    /// # Errors
    /// The storage's.
    pub fn set_flags(&mut self, storage: &mut dyn Storage, flags: Vec<String>) -> Result<()> {
        self.edit(storage, |edit| {
            edit.copy.metadata.config.flags = flags;
            Ok(())
        })
    }

    /// [`Edit::put_token`] alone.
    ///
    /// # Errors
    /// Those of [`Edit::put_token`], or the storage's.
    pub fn put_token(
        &mut self,
        storage: &mut dyn Storage,
        token: Token,
        id: Option<u32>,
        replace: bool,
    ) -> Result<u32> {
        self.edit(storage, |edit| edit.put_token(token, id, replace))
    }

    /// [`Edit::remove_token`] alone.
    ///
    /// # Errors
    /// [`Error::TokenNotInUse`], or the storage's.
    pub fn remove_token(&mut self, storage: &mut dyn Storage, id: u32) -> Result<()> {
        self.edit(storage, |edit| edit.remove_token(id))
    }

    /// [`Edit::assign_token`] alone.
    ///
    /// # Errors
    /// Those of [`Edit::assign_token`], or the storage's.
    pub fn assign_token(&mut self, storage: &mut dyn Storage, id: u32, keyslot: u32, assign: bool) -> Result<()> {
        self.edit(storage, |edit| edit.assign_token(id, keyslot, assign))
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
