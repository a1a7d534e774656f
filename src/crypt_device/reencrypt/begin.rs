//! The begin of a reencryption: keyslots for the new key, and the first state in the header.

use std::sync::Arc;

use keyslots::Error;
use keyslots::KeyslotId;
use keyslots::luks2::keyslot::KeyslotKind;
use keyslots::luks2::reencrypt::{Disks, Start, VolumeKeys, begin};
use keyslots::luks2::{self, Digest, Header, NewKeyslot, Transaction, WrappedKeyslot};
use keyslots::secret::{Passphrase, VolumeKey};
use keyslots::storage::Storage;

use super::relocate::sync_folder;
use super::{OfflineData, ReencryptionLock};
use crate::crypt_device::format::Made;
use crate::crypt_device::{Changing, CryptError, Event, HeaderPlace, LuksDevice, ReencryptionError};
use crate::header_device::HeaderDevice;
use crate::slot_names;
use crate::unfinished::{self, Unfinished};

/// A keyslot for the new key, with the passphrase of one of the old key.
#[derive(Debug)]
pub struct CopiedKeyslot {
    /// The keyslot of the old key.
    pub of: KeyslotId,
    sealed: WrappedKeyslot,
}

/// A reencryption that begins.
#[derive(Debug)]
pub struct Begin<'a> {
    /// Its parameters.
    pub start: Start,
    /// The keys.
    pub keys: &'a VolumeKeys,
    /// The keyslots of the new key; none where the key stays.
    pub keyslots: Vec<CopiedKeyslot>,
}

impl LuksDevice {
    /// Makes keyslots for the new `key`, one for each keyslot that was unlocked with its passphrase: with the same costs, or with
    /// those of `cost`.
    ///
    /// # Errors
    /// [`CryptError`]; [`ReencryptionError::KeyslotUnknown`] for one whose function is unknown here.
    pub fn copy_keyslots(
        &self,
        changing: &Changing<'_>,
        unlocked: &[(KeyslotId, Arc<Passphrase>)],
        key: &VolumeKey,
        cost: Option<&NewKeyslot>,
    ) -> Result<Vec<CopiedKeyslot>, CryptError> {
        let header = self.luks2()?;
        let free = (luks2::MAX_KEYSLOTS as usize).saturating_sub(header.metadata().keyslots.len());
        // One more is for the reencryption itself.
        if unlocked.len() >= free {
            return Err(ReencryptionError::FewKeyslots.into());
        }
        let mut copies = Vec::new();
        for (slot, passphrase) in unlocked {
            let same = || same_cost(header, *slot).ok_or(ReencryptionError::KeyslotUnknown(*slot));
            let new = cost.cloned().map_or_else(same, Ok)?;
            changing.observer.notice(Event::Deriving);
            let sealed = new.seal(key, passphrase, changing.limits);
            changing.observer.notice(Event::Derived);
            copies.push(CopiedKeyslot {
                of: *slot,
                sealed: sealed?,
            });
        }
        Ok(copies)
    }

    /// Writes the new keyslots, moves the data that have to make room, and writes the first state.
    ///
    /// # Errors
    /// [`CryptError`]; [`Error::ChangedMeanwhile`] where it is another header by now.
    pub fn begin_reencryption(
        &self,
        changing: &Changing<'_>,
        data: &mut OfflineData,
        what: &Begin<'_>,
    ) -> Result<(), CryptError> {
        changing.change_luks2(&self.device, |header, storage| {
            let looked_at = self.luks2()?;
            if header.metadata() != looked_at.metadata() || header.binary().uuid != looked_at.binary().uuid {
                return Err(CryptError::from(Error::ChangedMeanwhile));
            }
            let made = self.put_keyslots(changing, header, storage, what)?;
            let mut disks = match self.place {
                HeaderPlace::WithData => Disks::attached(storage),
                HeaderPlace::Apart => Disks::detached(storage, &mut data.file),
            };
            let begun = begin(header, &mut disks, &what.start, what.keys, changing.limits);
            if begun.is_err() && !header.in_reencryption() {
                // The keyslots of a key that nothing has are of no use.
                for slot in made {
                    header.remove_keyslot(storage, slot, self.device.medium())?;
                }
            }
            Ok(begun?)
        })
    }

    /// Adds the keyslots of the new key, and the tokens' assignments. Returns their numbers.
    fn put_keyslots(
        &self,
        changing: &Changing<'_>,
        header: &mut Header,
        storage: &mut dyn Storage,
        what: &Begin<'_>,
    ) -> Result<Vec<KeyslotId>, CryptError> {
        let Some(key) = what.keys.new.as_ref().filter(|_| !what.keyslots.is_empty()) else {
            return Ok(Vec::new());
        };
        let (hash, iterations) = (what.start.digest_hash, what.start.digest_iterations);
        let digest = Digest::new(key, hash, iterations, changing.limits)?;
        let mut change = header.begin()?;
        let mut made: Vec<(KeyslotId, KeyslotId)> = Vec::new();
        for copy in &what.keyslots {
            let slot = match made.first() {
                None => change.add_unbound_keyslot(None, &copy.sealed, digest.clone())?,
                Some((_, first)) => change.add_keyslot_beside(*first, None, &copy.sealed)?,
            };
            assign_tokens(&mut change, copy.of, slot)?;
            made.push((copy.of, slot));
        }
        slot_names::copy(&mut change, &made)?;
        change.commit(storage, self.device.medium())?;
        Ok(made.into_iter().map(|(_, slot)| slot).collect())
    }

    pub(super) fn luks2(&self) -> Result<&Header, CryptError> {
        self.header.luks2().ok_or_else(|| ReencryptionError::OnlyLuks2.into())
    }
}

impl Made {
    /// Begins the encryption of data with the header that was made for them ([`FormatTarget::Plaintext`]), which is one from then on.
    /// Returns its key, and the lock of the reencryption.
    ///
    /// # Errors
    /// [`CryptError`]; the header stays unfinished then.
    ///
    /// [`FormatTarget::Plaintext`]: crate::crypt_device::format::FormatTarget::Plaintext
    pub fn begin_encryption(
        mut self,
        changing: &Changing<'_>,
        device: &HeaderDevice,
        data: &mut OfflineData,
        start: &Start,
    ) -> Result<(VolumeKey, ReencryptionLock), CryptError> {
        let keyslots::header::Header::Luks2(header) = &mut self.header else {
            return Err(ReencryptionError::OnlyLuks2.into());
        };
        let lock = ReencryptionLock::take(device, &header.binary().uuid)?;
        // The data will need it, so that its name has to be on the disk too.
        sync_folder(device.path()).map_err(CryptError::io("sync the folder of the header file"))?;
        let keys = VolumeKeys {
            old: None,
            new: Some(self.key),
        };
        let mut storage = Unfinished(&mut self.file);
        let mut disks = Disks::detached(&mut storage, &mut data.file);
        begin(header, &mut disks, start, &keys, changing.limits)?;
        unfinished::finish(&self.file).map_err(CryptError::io("finish the header"))?;
        let key = keys.new.ok_or(Error::WrongVolumeKey)?;
        Ok((key, lock))
    }
}

/// Assigns the tokens of one keyslot to another one too.
fn assign_tokens(change: &mut Transaction<'_>, from: KeyslotId, to: KeyslotId) -> Result<(), Error> {
    // That of the names has a member for each keyslot.
    let is_of_it = |token: &luks2::Token| token.kind != slot_names::TOKEN_TYPE && token.keyslots.contains(&from);
    let of_it = |(id, token): (&u32, &luks2::Token)| is_of_it(token).then_some(*id);
    let tokens: Vec<u32> = change.metadata().tokens.iter().filter_map(of_it).collect();
    tokens
        .into_iter()
        .try_for_each(|token| change.assign_token(token, to, true))
}

/// The parameters of a keyslot, for another one.
fn same_cost(header: &Header, slot: KeyslotId) -> Option<NewKeyslot> {
    let keyslot = header.metadata().keyslots.get(&slot)?;
    let KeyslotKind::Luks2(members) = &keyslot.kind else {
        return None;
    };
    Some(NewKeyslot {
        kdf: members.kdf.known()?,
        af_hash: members.af_hash.known()?,
        encryption: members.encryption.parse().ok()?,
        area_key_size: members.area_key_size,
        priority: keyslot.priority,
    })
}
