//! Adding, removing and reading LUKS2 tokens.

use keyslots::Error;
use keyslots::KeyslotId;
use keyslots::header::Header;
use keyslots::luks2::{CHANGE_TOKEN, MAX_TOKENS, Token};

use super::{Changing, CryptError, LuksDevice, TokenRefused};
use crate::slot_names;

/// Where a token is put.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenPlace {
    /// Its number; the first free one where none is given.
    pub id: Option<u32>,
    /// Whether it may replace the token there.
    pub replace: bool,
}

/// Parses a token for import: the text of one JSON object.
///
/// # Errors
/// [`TokenRefused::Defect`], [`TokenRefused::Reserved`].
pub fn parse_importable(text: &[u8]) -> Result<Token, TokenRefused> {
    let token = Token::from_json(text).map_err(TokenRefused::Defect)?;
    if token.kind == CHANGE_TOKEN || !token.is_foreign() && token.key_description().is_none() {
        return Err(TokenRefused::Reserved(token.kind));
    }
    Ok(token)
}

impl LuksDevice {
    /// Adds a token, and returns its number.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn add_token(&self, changing: &Changing<'_>, token: Token, place: TokenPlace) -> Result<u32, CryptError> {
        changing.change_luks2(&self.device, |header, storage| {
            let replaced = place.id.filter(|_| place.replace);
            slot_names::check_token(header, replaced, None)?;
            slot_names::check_import(header, &token, replaced)?;
            Ok(header.put_token(storage, token, place.id, place.replace)?)
        })
    }

    /// Adds a token that opens `keyslots`, or all that are in use, with a passphrase in the kernel's keyring. Returns its number.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn add_keyring_token(
        &self,
        changing: &Changing<'_>,
        description: &str,
        keyslots: Option<Vec<KeyslotId>>,
        place: TokenPlace,
    ) -> Result<u32, CryptError> {
        let keyslots = keyslots.unwrap_or_else(|| self.header.used_keyslots());
        self.add_token(changing, Token::keyring(description, keyslots), place)
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn remove_token(&self, changing: &Changing<'_>, id: u32) -> Result<(), CryptError> {
        changing.change_luks2(&self.device, |header, storage| {
            slot_names::check_token(header, Some(id), None)?;
            Ok(header.remove_token(storage, id)?)
        })
    }

    /// Takes a keyslot from the list of a token.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn unassign_token(&self, changing: &Changing<'_>, id: u32, keyslot: KeyslotId) -> Result<(), CryptError> {
        changing.change_luks2(&self.device, |header, storage| {
            slot_names::check_token(header, Some(id), Some(keyslot))?;
            Ok(header.assign_token(storage, id, keyslot, false)?)
        })
    }

    /// A token.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`], [`Error::TokenNotInUse`].
    pub fn token(&self, id: u32) -> Result<&Token, CryptError> {
        let token = match &self.header {
            _ if id >= MAX_TOKENS => return Err(Error::TokenOutOfRange(id).into()),
            Header::Luks1(_) => None,
            Header::Luks2(header) => header.metadata().tokens.get(&id),
        };
        Ok(token.ok_or(Error::TokenNotInUse(id))?)
    }

    /// Where the passphrase of a token is: the description of a key in the kernel's keyring.
    ///
    /// # Errors
    /// As [`LuksDevice::token`]; [`TokenRefused::WithoutKey`].
    pub fn token_key_description(&self, id: u32) -> Result<Vec<u8>, CryptError> {
        let token = self.token(id)?;
        let refused = || TokenRefused::WithoutKey {
            id,
            kind: token.kind.clone(),
        };
        Ok(token.key_description_bytes().ok_or_else(refused)?)
    }
}
