//! A volume key that is linked to a keyring of the user while an operation succeeds.

use keyslots::secret::VolumeKey;

use super::CryptError;
use crate::keyring::{self, KeyType};

/// The destination of a volume key.
#[derive(Clone, Copy, Debug)]
pub struct KeyLink<'a> {
    /// The keyring.
    pub keyring: &'a str,
    /// The type of the key there.
    pub kind: KeyType,
    /// Its description.
    pub description: &'a str,
}

impl KeyLink<'_> {
    /// Runs `action` with the volume key linked as requested; if it fails, the link is removed.
    ///
    /// # Errors
    /// [`CryptError::Keyring`], or the action's.
    pub fn during<T, E: From<CryptError>>(
        link: Option<&Self>,
        key: &VolumeKey,
        action: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let add = |link: &Self| keyring::add_to_keyring(link.keyring, link.kind, link.description, key.expose());
        let made = link.map(add).transpose().map_err(CryptError::from)?;
        let outcome = action();
        if let (Err(_), Some(made)) = (&outcome, made) {
            made.remove();
        }
        outcome
    }
}
