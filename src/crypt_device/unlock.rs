//! The way to the key of a LUKS volume: tokens come first, then passphrases. One order, for a command line and for a boot.

use std::sync::Arc;

use keyslots::KeyslotId;
use keyslots::Unlocked;
use keyslots::header::Header;
use keyslots::kdf::KdfError;
use keyslots::luks2::Candidates;
use keyslots::secret::Passphrase;

use super::tokens::{TokenChoice, UsableToken, usable};
use super::{CryptError, Event, LuksDevice, Secrets, UnlockRequest};
use crate::header_device::HeaderError;
use crate::log;
use crate::passphrase::FinalNewline;
use crate::volume::VolumeError;

impl LuksDevice {
    /// Gets the volume key: from the tokens that `tokens` allows, if any, then by the passphrases of `secrets`, until one is right.
    ///
    /// # Errors
    /// That of the last passphrase; or that of `secrets`.
    pub fn unlock_by<S: Secrets + ?Sized>(
        &mut self,
        request: &UnlockRequest<'_>,
        tokens: Option<&TokenChoice<'_>>,
        secrets: &mut S,
    ) -> Result<Unlocked, S::Error> {
        match tokens.map(|tokens| self.unlock_by_tokens(request, tokens)) {
            None | Some(Err(CryptError::NoToken { .. })) => {}
            Some(unlocked) => return Ok(unlocked?),
        }
        let mut wrong = 0;
        while let Some(passphrase) = secrets.next(wrong)? {
            match self.unlock(&passphrase, request) {
                Err(error) if error.is_wrong_passphrase() => {}
                unlocked => return Ok(unlocked?),
            }
            if secrets.is_from_file()
                && let Some((fault, keyslot)) = self.other_ending(&passphrase, &[request.candidates], request)?
            {
                secrets.final_newline(fault, keyslot);
            }
            wrong += 1;
        }
        Err(CryptError::from(keyslots::Error::WrongPassphrase).into())
    }

    /// Gets the volume key from tokens alone.
    ///
    /// # Errors
    /// [`CryptError::NoToken`]; or that of a keyslot that cannot be tried for lack of memory or of the device.
    pub fn unlock_by_tokens(
        &mut self,
        request: &UnlockRequest<'_>,
        choice: &TokenChoice<'_>,
    ) -> Result<Unlocked, CryptError> {
        let candidates = self.usable_tokens(request.candidates, choice);
        if candidates.is_empty() {
            if self.header.luks2().is_some() {
                request.observer.notice(Event::NoUsableToken);
            }
            return Err(CryptError::NoToken { was_tried: false });
        }
        for token in candidates {
            let passphrase = match token.passphrase() {
                Ok(passphrase) => passphrase,
                Err(error) => {
                    log::debug(format_args!("Token {}: {error}.", token.id));
                    continue;
                }
            };
            for keyslot in token.keyslots {
                if let Some(unlocked) = self.try_token(&passphrase, keyslot, request)? {
                    return Ok(unlocked);
                }
            }
        }
        request.observer.notice(Event::TokensRefused);
        Err(CryptError::NoToken { was_tried: true })
    }

    fn try_token(
        &mut self,
        passphrase: &Passphrase,
        keyslot: KeyslotId,
        request: &UnlockRequest<'_>,
    ) -> Result<Option<Unlocked>, CryptError> {
        use keyslots::Error;
        let request = UnlockRequest {
            candidates: Candidates::Keyslot(keyslot),
            ..*request
        };
        match self.unlock(passphrase, &request) {
            Err(error) if error.opens_nothing() => Ok(None),
            Err(CryptError::Header(HeaderError::Luks(error))) => match error {
                Error::Io { .. } | Error::Kdf(KdfError::OutOfMemory { .. }) => Err(error.into()),
                // Not usable here; the next one may be.
                error => {
                    log::debug(format_args!("Keyslot {keyslot}: {error}."));
                    Ok(None)
                }
            },
            unlocked => unlocked.map(Some),
        }
    }

    /// Whether there is a token to try: one that may open a keyslot among `candidates`.
    pub fn has_tokens(&self, candidates: Candidates) -> bool {
        !self.usable_tokens(candidates, &TokenChoice::default()).is_empty()
    }

    fn usable_tokens(&self, candidates: Candidates, choice: &TokenChoice<'_>) -> Vec<UsableToken> {
        let Header::Luks2(header) = &self.header else {
            return Vec::new();
        };
        let choice = TokenChoice {
            keyslot: match candidates {
                Candidates::Keyslot(keyslot) => Some(keyslot),
                _ => None,
            },
            any_key: matches!(candidates, Candidates::IncludingUnbound),
            ..*choice
        };
        usable(header.metadata(), &choice)
    }

    /// The keyslot that a wrong passphrase would open with, or without, a new line at its end, and the flaw: an editor has ended
    /// its file with one, or the keyslot was made from such a file. Opens nothing.
    ///
    /// # Errors
    /// [`CryptError::Volume`]: out of memory that can be wiped.
    pub fn other_ending(
        &mut self,
        passphrase: &Passphrase,
        candidates: &[Candidates],
        request: &UnlockRequest<'_>,
    ) -> Result<Option<(FinalNewline, KeyslotId)>, CryptError> {
        let Some((fault, other)) = FinalNewline::mend(passphrase).map_err(VolumeError::Memory)? else {
            return Ok(None);
        };
        let _serialized = request.serialize()?;
        let mut tries = candidates.iter();
        let keyslot = tries.find_map(|candidates| self.opens(&other, *candidates, request.limits));
        Ok(keyslot.map(|keyslot| (fault, keyslot)))
    }
}

/// A passphrase that is there already, or none: for a caller whose prompts are elsewhere.
#[derive(Debug)]
pub struct Given {
    passphrase: Option<Arc<Passphrase>>,
    from_file: bool,
    /// The flaw of a wrong one, and the keyslot that it would open without it.
    pub flaw: Option<(FinalNewline, KeyslotId)>,
}

impl Given {
    /// This one, which is from a file or not.
    pub fn new(passphrase: Option<Arc<Passphrase>>, from_file: bool) -> Self {
        Self {
            passphrase,
            from_file,
            flaw: None,
        }
    }
}

impl Secrets for Given {
    type Error = CryptError;

    fn next(&mut self, _wrong: u32) -> Result<Option<Arc<Passphrase>>, CryptError> {
        Ok(self.passphrase.take())
    }

    fn is_from_file(&self) -> bool {
        self.from_file
    }

    fn final_newline(&mut self, fault: FinalNewline, keyslot: KeyslotId) {
        self.flaw = Some((fault, keyslot));
    }
}
