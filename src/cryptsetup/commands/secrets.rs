//! The source of a passphrase according to the options, and the number of tries.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyslots::KeyslotId;
use keyslots::secret::{Passphrase, Secret, VolumeKey};

use super::context::Context;
use crate::block_device::{DevNo, loop_backing_file};
use crate::console::Persona;
use crate::crypt_device::Secrets;
use crate::cryptsetup::error::CliError;
use crate::keyring;
use crate::passphrase::{self, FinalNewline, KeyFileRange, PassphraseError, Question};
use crate::terminal_text::shown;

/// The default number of tries for a typed passphrase.
const DEFAULT_TRIES: u32 = 3;

/// The source of an existing passphrase.
#[derive(Debug)]
pub(super) enum Source<'a> {
    /// A key file; `-` is standard input.
    KeyFile(&'a Path),
    /// A key of this description in the kernel keyring.
    Keyring(&'a str),
    /// A person, or the first line of standard input.
    Ask,
}

impl<'a> Source<'a> {
    /// The key file, else a person.
    pub(super) fn of(key_file: Option<&'a Path>) -> Self {
        key_file.map_or(Self::Ask, Self::KeyFile)
    }

    /// Whether a wrong passphrase can be followed by another.
    fn can_repeat(&self) -> bool {
        match self {
            Self::KeyFile(path) => *path == Path::new("-") && passphrase::is_interactive(),
            Self::Keyring(_) => false,
            Self::Ask => passphrase::is_interactive(),
        }
    }
}

/// Passphrases from a source, one after the other.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    cx: &'a Context<'a>,
    source: &'a Source<'a>,
    prompt: &'a str,
    tries: u32,
    /// Whether an option without effect is reported for a key file too.
    warns: bool,
    keeps: bool,
    /// The last one, if it is kept.
    pub(super) last: Option<Arc<Passphrase>>,
}

impl Asking<'_> {
    /// A single one.
    pub(super) fn once(mut self) -> Self {
        self.tries = 1;
        self
    }

    /// Keeps the last one.
    pub(super) fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// Reports before the first one that `--verify-passphrase` has no effect, for a key file too.
    pub(super) fn warning(mut self) -> Self {
        self.warns = true;
        self
    }
}

impl Secrets for Asking<'_> {
    type Error = CliError;

    fn next(&mut self, wrong: u32) -> Result<Option<Arc<Passphrase>>, CliError> {
        // The last error is reported when the command ends.
        if wrong > 0 && wrong >= self.tries {
            return Ok(None);
        }
        if wrong > 0 {
            self.cx.console.complain(CliError::WrongPassphrase);
        }
        if wrong == 0 && self.warns && matches!(self.source, Source::KeyFile(_)) {
            self.cx.warn_unverified();
        }
        let passphrase = Arc::new(self.cx.passphrase(self.source, self.prompt)?);
        self.last = self.keeps.then(|| Arc::clone(&passphrase));
        Ok(Some(passphrase))
    }

    /// A typed passphrase cannot contain a new line, and its user would wait twice after each slip.
    fn is_from_file(&self) -> bool {
        match self.source {
            Source::KeyFile(_) => true,
            Source::Ask => !passphrase::is_interactive(),
            Source::Keyring(_) => false,
        }
    }

    fn final_newline(&mut self, fault: FinalNewline, keyslot: KeyslotId) {
        self.cx.console.complain(format_args!("The {fault} {keyslot}."));
    }
}

/// The prompt for the passphrase of a volume. A loop device is named by the file behind it, as a user (and a script that
/// answers prompts) knows it.
pub(super) fn passphrase_prompt(device: &Path) -> String {
    let file = DevNo::of_path(device).ok().flatten().and_then(loop_backing_file);
    format!("Enter passphrase for {}: ", shown(file.as_deref().unwrap_or(device)))
}

/// The passphrase in the key of this description in the kernel's keyring.
fn keyring_passphrase(description: &str) -> Result<Passphrase, CliError> {
    let key = keyring::read_user_key(description).map_err(CliError::PassphraseKeyring)?;
    Ok(Passphrase::new(key))
}

impl Context<'_> {
    /// The first `--key-file`.
    pub(super) fn key_file(&self) -> Option<&Path> {
        self.options.key_file.first().map(std::path::PathBuf::as_path)
    }

    /// The source of an existing passphrase, according to the options.
    pub(super) fn source(&self) -> Source<'_> {
        match &self.options.key_description {
            Some(description) => Source::Keyring(description),
            None => Source::of(self.key_file()),
        }
    }

    fn key_file_range(&self) -> KeyFileRange {
        KeyFileRange::new(self.options.keyfile_offset, self.options.keyfile_size)
    }

    pub(super) fn new_key_file_range(&self) -> KeyFileRange {
        KeyFileRange::new(self.options.new_keyfile_offset, self.options.new_keyfile_size)
    }

    fn timeout(&self) -> Option<Duration> {
        self.options
            .timeout
            .filter(|&seconds| seconds > 0)
            .map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Gets an existing passphrase from `source`.
    pub(super) fn passphrase(&self, source: &Source<'_>, prompt: &str) -> Result<Passphrase, CliError> {
        self.passphrase_in(source, prompt, self.key_file_range())
    }

    /// As [`Context::passphrase`], with another range of a key file than the options name.
    pub(super) fn passphrase_in(
        &self,
        source: &Source<'_>,
        prompt: &str,
        range: KeyFileRange,
    ) -> Result<Passphrase, CliError> {
        let question = Question {
            prompt,
            verify: self.options.verify_passphrase,
            timeout: self.timeout(),
            range,
        };
        Ok(match source {
            Source::KeyFile(path) => passphrase::from_key_file(path, &question)?,
            Source::Keyring(description) => keyring_passphrase(description)?,
            Source::Ask => self.ask(&question)?,
        })
    }

    fn ask(&self, question: &Question<'_>) -> Result<Passphrase, PassphraseError> {
        self.warn_unverified();
        passphrase::ask(question)
    }

    /// Warns that `--verify-passphrase` has no effect without a terminal.
    pub(super) fn warn_unverified(&self) {
        if self.options.verify_passphrase && !passphrase::is_interactive() {
            self.console
                .complain("Can't do passphrase verification on non-tty inputs.");
        }
    }

    /// Passphrases from `source`, as often as `--tries` and the source allow.
    pub(super) fn asking<'a>(&'a self, source: &'a Source<'a>, prompt: &'a str) -> Asking<'a> {
        let tries = match source.can_repeat() {
            true => self.options.tries.unwrap_or(DEFAULT_TRIES),
            false => 1,
        };
        Asking {
            cx: self,
            source,
            prompt,
            tries,
            warns: false,
            keeps: false,
            last: None,
        }
    }

    /// As [`Context::asking`], with the single try that cryptsetup allows for a change of keyslots.
    pub(super) fn asking_for_keyslots<'a>(&'a self, source: &'a Source<'a>, prompt: &'a str) -> Asking<'a> {
        match self.console.persona() {
            Persona::Cryptsetup => self.asking(source, prompt).once(),
            _ => self.asking(source, prompt),
        }
    }

    /// Gets a new passphrase: from the kernel's keyring, from a key file, or from two prompts.
    pub(super) fn new_passphrase(
        &self,
        key_file: Option<&Path>,
        range: KeyFileRange,
        prompt: &str,
        always_verify: bool,
    ) -> Result<Passphrase, CliError> {
        if let Some(description) = &self.options.new_key_description {
            return keyring_passphrase(description);
        }
        let verify = self.options.verify_passphrase || (always_verify && !self.options.batch_mode);
        let question = Question {
            prompt,
            verify,
            timeout: self.timeout(),
            range,
        };
        let typed = key_file.is_none_or(|path| path == Path::new("-")) && passphrase::is_interactive();
        let new = match key_file {
            Some(path) => passphrase::from_key_file(path, &question)?,
            None => self.ask(&question)?,
        };
        if typed {
            self.check_quality(&new)?;
        }
        Ok(new)
    }

    /// The new passphrase for `luksFormat`: with the options of an existing one.
    pub(super) fn first_passphrase(&self, key_file: Option<&Path>, prompt: &str) -> Result<Passphrase, CliError> {
        if let Source::Keyring(description) = self.source() {
            return keyring_passphrase(description);
        }
        let key_file = key_file.or_else(|| self.key_file());
        if key_file.is_some() {
            self.warn_unverified();
        }
        self.new_passphrase(key_file, self.key_file_range(), prompt, true)
    }

    /// cryptsetup has no such check in Debian, so under its name nothing is checked.
    fn check_quality(&self, passphrase: &Passphrase) -> Result<(), CliError> {
        if self.options.force_password || self.console.persona() == Persona::Cryptsetup {
            return Ok(());
        }
        match passphrase::weakness(passphrase) {
            Some(weakness) => Err(CliError::WeakPassphrase(weakness)),
            None => Ok(()),
        }
    }

    /// The volume key of `len` bytes that the options name for something new, if they do.
    pub(super) fn given_volume_key(&self, len: usize) -> Result<Option<VolumeKey>, CliError> {
        if let Some(file) = &self.options.volume_key_file {
            return self.volume_key_file(file, len).map(Some);
        }
        let Some(description) = &self.options.volume_key_keyring else {
            return Ok(None);
        };
        let key = VolumeKey::new(keyring::read_key(description)?);
        match key.len() {
            found if found != len => Err(CliError::KeyringKeyLength { found, needed: len }),
            _ => Ok(Some(key)),
        }
    }

    /// The volume key in a file: exactly `len` bytes of it.
    pub(super) fn volume_key_file(&self, path: &Path, len: usize) -> Result<VolumeKey, CliError> {
        let key = self.secret_file(path, len)?;
        let key = Secret::copy_from(key.expose()).map_err(PassphraseError::Memory)?;
        Ok(VolumeKey::new(key))
    }

    /// Exactly `len` bytes of the file.
    pub(super) fn secret_file(&self, path: &Path, len: usize) -> Result<Passphrase, CliError> {
        let range = KeyFileRange::new(None, Some(keyslots::units::Bytes::new(len as u64)));
        let question = Question {
            prompt: "",
            verify: false,
            timeout: None,
            range,
        };
        passphrase::from_key_file(path, &question).map_err(|error| match error {
            PassphraseError::Open(source) => CliError::VolumeKeyFileMissing {
                file: path.to_owned(),
                source,
            },
            PassphraseError::TooShort => CliError::VolumeKeyFileShort {
                file: path.to_owned(),
                len,
            },
            other => other.into(),
        })
    }
}
