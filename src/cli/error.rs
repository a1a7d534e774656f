//! Every way a command can fail, its exit code, and what to do about it.
//!
//! `Display` is the reference's wording, which programs look for; the remedy is ours, and comes on a second line under
//! our own name only.

use std::path::PathBuf;

use keyslots::units::Bytes;

use super::usage::UsageError;
use crate::passphrase::{MAX_KEY_FILE, PassphraseError};

/// How a program ends, as its callers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Success = 0,
    /// Wrong parameters, or any failure without a code of its own.
    Failure = 1,
    /// Wrong passphrase, or not permitted.
    Permission = 2,
    /// Not enough memory.
    OutOfMemory = 3,
    /// The device is not there, or not of the kind that is needed.
    WrongDevice = 4,
    /// It is there already, or in use.
    Busy = 5,
}

impl ExitCode {
    /// What `--verbose` calls it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "wrong or missing parameters",
            Self::Permission => "no permission or bad passphrase",
            Self::OutOfMemory => "out of memory",
            Self::WrongDevice => "wrong device or file specified",
            Self::Busy => "device already exists or device is busy",
        }
    }
}

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line means nothing.
    #[error("{0}")]
    Usage(UsageError),
    /// `open` without a name.
    #[error("Command requires device and mapped name as arguments.")]
    NameMissing,
    /// `convert` without the format to convert to.
    #[error("Invalid LUKS type, only luks1 and luks2 are supported.")]
    ConversionTarget,
    /// A header backup without its file.
    #[error("Option --header-backup-file is required.")]
    BackupFileMissing,
    /// There is no passphrase to try.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// No keyslot opens.
    #[error("No key available with this passphrase.")]
    WrongPassphrase,
    /// There is no keyslot to try.
    #[error("No usable keyslot is available.")]
    NoUsableKeyslot,
    /// There is no token to try, and nothing else may be.
    #[error("No usable token is available.")]
    NoUsableToken,
    /// The device cannot be opened.
    #[error("Device {} does not exist or access denied.", .0.display())]
    DeviceMissing(PathBuf),
    /// There is no header of the kind that is needed; `kind` is "LUKS", "LUKS1" or "LUKS2".
    #[error("Device {} is not a valid {kind} device.", .device.display())]
    NotLuks {
        /// The device.
        device: PathBuf,
        /// What it should have been.
        kind: &'static str,
    },
    /// The mapping is there already.
    #[error("Device {0} already exists.")]
    AlreadyMapped(String),
    /// There is no such mapping.
    #[error("Device {0} is not active.")]
    NotActive(String),
    /// The mapping is open somewhere.
    #[error("Device {0} is still in use.")]
    InUse(String),
    /// The keyslot is taken.
    #[error("Key slot {0} is full, please select another one.")]
    KeyslotFull(u32),
    /// The keyslot is empty.
    #[error("Keyslot {0} is not active.")]
    KeyslotInactive(u32),
    /// No header of this version has the keyslot.
    #[error("Key slot {slot} is invalid, please select between 0 and {last}.")]
    KeyslotInvalid {
        /// The keyslot.
        slot: u32,
        /// The last one.
        last: u32,
    },
    /// No keyslot has the name.
    #[error("No keyslot is named {0}.")]
    KeyslotUnnamed(String),
    /// No header has the token.
    #[error("Token {0} is invalid.")]
    TokenInvalid(u32),
    /// The token is empty.
    #[error("Token {0} is not in use.")]
    TokenInactive(u32),
    /// The backup would overwrite something.
    #[error("Requested header backup file {} already exists.", .0.display())]
    BackupExists(PathBuf),
    /// The hash is unknown.
    #[error("Requested hash {0} is not supported.")]
    UnknownHash(String),
    /// A person said no.
    #[error("Operation aborted.\n")]
    Aborted,
    /// A person said no to `erase`.
    #[error("Operation aborted, keyslots were NOT wiped.\n")]
    EraseAborted,
    /// The key derivation needs more memory than there is.
    #[error("Not enough available memory to open a keyslot: {needed} are needed, {available} are there.")]
    OutOfMemory {
        /// What was needed.
        needed: Bytes,
        /// What there is.
        available: Bytes,
    },
    /// The system failed.
    #[error("Cannot {action}: {source}")]
    Io {
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Failed without a word, since the answer is the exit code or was printed.
    #[error("")]
    Silent(ExitCode),
}

impl CliError {
    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_)
            | Self::NameMissing
            | Self::ConversionTarget
            | Self::BackupFileMissing
            | Self::NoUsableKeyslot
            | Self::NotLuks { .. }
            | Self::KeyslotFull(_)
            | Self::KeyslotInactive(_)
            | Self::KeyslotInvalid { .. }
            | Self::KeyslotUnnamed(_)
            | Self::TokenInvalid(_)
            | Self::TokenInactive(_)
            | Self::NoUsableToken
            | Self::BackupExists(_)
            | Self::UnknownHash(_)
            | Self::Aborted
            | Self::Io { .. } => ExitCode::Failure,
            Self::Passphrase(error) => match error {
                PassphraseError::Mismatch => ExitCode::Permission,
                PassphraseError::Memory(_) => ExitCode::OutOfMemory,
                PassphraseError::Open(_)
                | PassphraseError::Read(_)
                | PassphraseError::Terminal(_)
                | PassphraseError::Interrupted
                | PassphraseError::TimedOut
                | PassphraseError::NothingToRead
                | PassphraseError::TooShort
                | PassphraseError::Offset
                | PassphraseError::TooLong => ExitCode::Failure,
            },
            Self::WrongPassphrase | Self::EraseAborted => ExitCode::Permission,
            Self::OutOfMemory { .. } => ExitCode::OutOfMemory,
            Self::DeviceMissing(_) | Self::NotActive(_) => ExitCode::WrongDevice,
            Self::AlreadyMapped(_) | Self::InUse(_) => ExitCode::Busy,
            Self::Silent(code) => *code,
        }
    }

    /// What a person can do about it, where that can be said in a line.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Usage(error) => return error.remedy(),
            Self::NameMissing => "Name the mapping too: luksmith open <device> <name>.".into(),
            Self::ConversionTarget => "Say --type luks1 or --type luks2.".into(),
            Self::BackupFileMissing => "Say --header-backup-file <file>.".into(),
            Self::Passphrase(PassphraseError::Open(source) | PassphraseError::Read(source)) => format!("{source}."),
            Self::Passphrase(PassphraseError::TimedOut) => "Nothing was typed within --timeout.".into(),
            Self::Passphrase(PassphraseError::TooLong) => {
                format!("Key files of more than {MAX_KEY_FILE} need --keyfile-size.")
            }
            Self::Passphrase(PassphraseError::NothingToRead) => {
                "Standard input is no terminal, and was empty; an empty passphrase is an empty line.".into()
            }
            Self::WrongPassphrase => "Check the keyboard layout and Caps Lock; a key file counts byte for byte.".into(),
            Self::NoUsableKeyslot => "luksmith luksDump shows which keyslots there are.".into(),
            Self::DeviceMissing(_) => "Check the path, and whether you are root.".into(),
            Self::NotLuks { .. } => "If the header is kept apart, say where with --header.".into(),
            Self::AlreadyMapped(name) => format!("luksmith status {name} shows what it is."),
            Self::InUse(_) => "Unmount it first, or say --deferred to have it removed once it is free.".into(),
            Self::KeyslotFull(_) => "Leave --key-slot out to take the first free one.".into(),
            Self::BackupExists(_) => "A backup never overwrites a file; choose another name.".into(),
            Self::OutOfMemory { .. } => "Free some memory, or add swap, and try again.".into(),
            _ => return None,
        })
    }
}

impl From<UsageError> for CliError {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_scripts_know() {
        let code = |error: CliError| error.exit_code() as u8;
        assert_eq!(code(UsageError::UnknownAction.into()), 1);
        assert_eq!(code(CliError::NoUsableKeyslot), 1);
        assert_eq!(code(PassphraseError::TimedOut.into()), 1);
        assert_eq!(code(CliError::WrongPassphrase), 2);
        assert_eq!(code(PassphraseError::Mismatch.into()), 2);
        assert_eq!(
            code(CliError::OutOfMemory {
                needed: Bytes::kib(2),
                available: Bytes::kib(1)
            }),
            3
        );
        assert_eq!(code(CliError::DeviceMissing("x".into())), 4);
        assert_eq!(code(CliError::NotActive("x".into())), 4);
        assert_eq!(code(CliError::AlreadyMapped("x".into())), 5);
        assert_eq!(code(CliError::InUse("x".into())), 5);
    }
}
