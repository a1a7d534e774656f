//! The keys of a volume in reencryption: one passphrase has to open both.

use keyslots::Error;
use keyslots::kdf::CostLimits;
use keyslots::luks2::reencrypt::{Reencryption, State, VolumeKeys, unlock, verify};
use keyslots::secret::Passphrase;

use crate::crypt_device::{CryptError, Event, LuksDevice, ReencryptionError, Secrets, UnlockRequest};

impl LuksDevice {
    /// The reencryption that the header says, if there is one.
    ///
    /// # Errors
    /// [`CryptError::Header`] for one that cannot be continued.
    pub fn reencryption(&self) -> Result<Option<Reencryption>, CryptError> {
        match self.header.luks2() {
            Some(header) => Ok(header.reencryption()?.running()),
            None => Ok(None),
        }
    }

    /// The keys that the reencryption needs and `given` does not have.
    ///
    /// # Errors
    /// [`ReencryptionError::NotBegun`].
    pub fn lacking_keys(&self, given: &VolumeKeys) -> Result<Vec<LackingKey>, CryptError> {
        let found = self.reencryption()?.ok_or(ReencryptionError::NotBegun)?;
        let digests = &self.luks2()?.metadata().digests;
        let differ = found.old_digest != found.new_digest;
        // A key that no data need any more may be gone.
        let ends = matches!(found.state, State::Finished | State::Wiping);
        let of = |digest: Option<u32>, is_new| {
            let keyslots = digests.get(&digest?)?.keyslots.len();
            Some(LackingKey { is_new, keyslots })
        };
        let old = of(found.old_digest, false).filter(|_| given.old.is_none() && !ends);
        let new = of(found.new_digest, true).filter(|_| given.new.is_none() && differ);
        Ok(old.into_iter().chain(new).collect())
    }

    /// Gets the volume keys that `given` does not have with the passphrases of `secrets`, until one opens all that the mode has.
    ///
    /// # Errors
    /// That of the last passphrase; or that of `secrets`.
    pub fn unlock_reencryption<S: Secrets + ?Sized>(
        &mut self,
        request: &UnlockRequest<'_>,
        secrets: &mut S,
        mut given: VolumeKeys,
    ) -> Result<VolumeKeys, S::Error> {
        let mut wrong = 0;
        while let Some(passphrase) = secrets.next(wrong)? {
            match self.try_reencryption(&passphrase, request, &mut given) {
                Err(error) if error.is_wrong_passphrase() => wrong += 1,
                keys => return Ok(keys?),
            }
        }
        Err(CryptError::from(Error::WrongPassphrase).into())
    }

    /// Checks that the parameters of the reencryption are those that were agreed to with these keys.
    ///
    /// # Errors
    /// [`keyslots::Error::ReencryptionNotVerified`], [`keyslots::Error::WrongVolumeKey`].
    pub fn verify_reencryption(&self, keys: &VolumeKeys, limits: &CostLimits) -> Result<(), CryptError> {
        Ok(verify(self.luks2()?, keys, limits).map(drop)?)
    }

    fn try_reencryption(
        &mut self,
        passphrase: &Passphrase,
        request: &UnlockRequest<'_>,
        given: &mut VolumeKeys,
    ) -> Result<VolumeKeys, CryptError> {
        let _serialized = request.serialize()?;
        let Some(header) = self.header.luks2() else {
            return Err(ReencryptionError::OnlyLuks2.into());
        };
        request.observer.notice(Event::Deriving);
        let mut reader = self.device.reader(&mut self.opened);
        let keys = unlock(header, &mut reader, passphrase, request.limits);
        request.observer.notice(Event::Derived);
        let mut keys = reader.outcome(keys)?;
        if given.old.is_some() {
            std::mem::swap(&mut keys.old, &mut given.old);
        }
        if given.new.is_some() {
            std::mem::swap(&mut keys.new, &mut given.new);
        }
        match self.lacking_keys(&keys)?.is_empty() {
            true => Ok(keys),
            false => {
                // For the next try.
                *given = keys;
                Err(Error::WrongPassphrase.into())
            }
        }
    }
}

/// A key that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LackingKey {
    /// Whether it is the new one.
    pub is_new: bool,
    /// The number of keyslots that have it.
    pub keyslots: usize,
}
