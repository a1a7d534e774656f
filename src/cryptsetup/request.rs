//! What a command line means once it is checked.
//!
//! An [`Action`] is a verb with its arguments; an [`Invocation`] is the whole command line, past every check that needs
//! no device.

use std::ffi::OsString;
use std::path::PathBuf;

use super::actions::{ALIASES, DeviceType, VERBS, Verb, alias};
use super::flags::defs::Options;
use super::usage::UsageError;
use super::values::SlotRef;

/// An operation on a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the options of their names")]
pub enum TokenAction {
    /// Add a luks2-keyring token for the key of this description.
    Add { key_description: String },
    /// Remove the token of this number.
    Remove { token: u32 },
    /// Write a token from JSON into the header.
    Import,
    /// Write the token of this number out as JSON.
    Export { token: u32 },
    /// Take a keyslot away from a token.
    Unassign { token: u32, slot: SlotRef },
}

/// An action with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments of the usage text")]
pub enum Action {
    /// Unlock `device` and map it as `name`; without a name only with `--test-passphrase`.
    Open {
        device: PathBuf,
        name: Option<String>,
        device_type: DeviceType,
    },
    /// Reload the mapping `name` with other parameters.
    Refresh {
        name: String,
        device: Option<PathBuf>,
        device_type: Option<DeviceType>,
    },
    /// Remove the mapping.
    Close { name: String },
    /// Remove all unused volumes.
    CloseAll,
    /// Unlock the volumes of crypttab: those of these names, or all.
    Unlock { names: Vec<String> },
    /// Answer an unlocker.
    Answer,
    /// Check whether the next boot will unlock.
    Doctor,
    /// Resize the mapping.
    Resize { name: String },
    /// Show the mapping.
    Status { name: String },
    /// List open volumes and other devices.
    List,
    /// Show devices.
    Info { devices: Vec<String> },
    /// Show the devices below devices.
    Deps { devices: Vec<String> },
    /// Show tables.
    Table { devices: Vec<String> },
    /// Show the tree of devices.
    Tree,
    /// Judge devices.
    Check { devices: Vec<String> },
    /// Measure.
    Benchmark,
    /// Repair a header.
    Repair { device: PathBuf },
    /// Reencrypt; the device may be found by `--active-name` instead.
    Reencrypt {
        device: Option<PathBuf>,
        name: Option<String>,
    },
    /// Erase all keyslots.
    Erase { device: PathBuf },
    /// Convert a header to the other version: `Luks1` or `Luks2`.
    Convert { device: PathBuf, to: DeviceType },
    /// Set the label, the subsystem or a priority.
    Config { device: PathBuf },
    /// Make a LUKS volume: `Luks1` or `Luks2`.
    Format {
        device: PathBuf,
        key_file: Option<PathBuf>,
        device_type: DeviceType,
    },
    /// Add a keyslot.
    AddKey {
        device: PathBuf,
        new_key_file: Option<PathBuf>,
    },
    /// Remove the keyslot that a passphrase opens.
    RemoveKey { device: PathBuf, key_file: Option<PathBuf> },
    /// Change a passphrase.
    ChangeKey {
        device: PathBuf,
        new_key_file: Option<PathBuf>,
    },
    /// Rewrite a keyslot with other costs.
    ConvertKey { device: PathBuf, key_file: Option<PathBuf> },
    /// Wipe a keyslot.
    KillSlot { device: PathBuf, slot: SlotRef },
    /// Print or set the UUID.
    Uuid { device: PathBuf },
    /// Test for a LUKS header, of the version that `--type` names.
    IsLuks { device: PathBuf, device_type: DeviceType },
    /// Write the plaintext to standard output.
    Cat { device: PathBuf },
    /// Write standard input or a file into the plaintext.
    Write { device: PathBuf, file: Option<PathBuf> },
    /// Encrypt an image, or decrypt one with `--decrypt`; `-` is standard input or output.
    Image { source: PathBuf, target: PathBuf },
    /// Show a LUKS header.
    Dump { device: PathBuf },
    /// Show a TrueCrypt header.
    TcryptDump { device: PathBuf },
    /// Show a BitLocker header.
    BitlkDump { device: PathBuf },
    /// Show a FileVault2 header.
    Fvault2Dump { device: PathBuf },
    /// Freeze a mapping.
    Suspend { name: String },
    /// Unfreeze a mapping.
    Resume { name: String },
    /// Back a header up into a file.
    HeaderBackup { device: PathBuf, file: PathBuf },
    /// Restore a header from a file.
    HeaderRestore { device: PathBuf, file: PathBuf },
    /// Work on the tokens of a device.
    Token { device: PathBuf, action: TokenAction },
}

/// A command line that passed every check.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The current name of the action.
    pub verb: Verb,
    /// The action and its arguments.
    pub action: Action,
    /// The options. Positional arguments are not used from here on.
    pub options: Options,
}

/// A verb and the options that its spelling implies, before the options are parsed.
#[derive(Debug)]
pub(super) struct ParsedArgs {
    pub(super) verb: Verb,
    pub(super) device_type: Option<DeviceType>,
    pub(super) refresh: bool,
    pub(super) arguments: Vec<OsString>,
}

impl ParsedArgs {
    /// Finds the action that the first argument names, and puts the others into the current order.
    pub(super) fn from_arguments(mut arguments: Vec<OsString>) -> Result<Self, UsageError> {
        if arguments.is_empty() {
            return Err(UsageError::ActionMissing);
        }
        let first = arguments.remove(0);
        let first = first.to_str().ok_or(UsageError::UnknownAction)?;
        let alias = match VERBS.iter().find(|info| info.name == first) {
            Some(info) => alias(info.name, info.verb, None),
            None => *ALIASES
                .iter()
                .find(|alias| alias.name == first)
                .ok_or(UsageError::UnknownAction)?,
        };
        if alias.name_first && arguments.len() >= 2 {
            arguments.swap(0, 1);
        }
        if arguments.len() < alias.verb.info().required {
            return Err(UsageError::Arguments(alias.verb));
        }
        Ok(Self {
            verb: alias.verb,
            device_type: alias.device_type,
            refresh: alias.refresh,
            arguments,
        })
    }
}
