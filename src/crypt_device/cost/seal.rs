//! From costs and a passphrase to a keyslot that can be written: the slow part, before any lock.

use keyslots::Error;
use keyslots::header::Header;
use keyslots::secret::{Passphrase, VolumeKey};
use keyslots::{luks1, luks2};

use crate::crypt_device::{Changing, CryptError, Event};

/// How the key of a keyslot is derived and kept.
#[derive(Debug)]
pub enum KeyslotCost {
    /// LUKS1: iterations of PBKDF2.
    Luks1 {
        /// The number.
        iterations: u32,
    },
    /// LUKS2.
    Luks2(luks2::NewKeyslot),
}

/// A keyslot, ready to be written.
pub(in crate::crypt_device) enum WrappedKeyslot {
    /// And once more, for the way back to its own place.
    Luks1(luks1::WrappedKeyslot, Option<luks1::WrappedKeyslot>),
    Luks2(luks2::WrappedKeyslot),
}

impl KeyslotCost {
    /// Derives the key of a keyslot for `header`. In LUKS1 it is derived `twice` for a keyslot that has to come back to its
    /// own place.
    ///
    /// # Errors
    /// That of the derivation; [`Error::ChangedMeanwhile`] for costs of the other version.
    pub(in crate::crypt_device) fn seal(
        &self,
        header: &Header,
        (key, passphrase): (&VolumeKey, &Passphrase),
        changing: &Changing<'_>,
        twice: bool,
    ) -> Result<WrappedKeyslot, CryptError> {
        changing.observer.notice(Event::Deriving);
        let sealed = match (header, self) {
            (Header::Luks2(_), Self::Luks2(new)) => {
                new.seal(key, passphrase, changing.limits).map(WrappedKeyslot::Luks2)
            }
            (Header::Luks1(header), Self::Luks1 { iterations }) => {
                let seal = || header.seal(key, passphrase, *iterations, changing.limits);
                seal().and_then(|sealed| Ok(WrappedKeyslot::Luks1(sealed, twice.then(seal).transpose()?)))
            }
            _ => Err(Error::ChangedMeanwhile),
        };
        changing.observer.notice(Event::Derived);
        Ok(sealed?)
    }
}
