//! The actions: their names, old and new, their arguments, and what a command line means once it is checked.
//!
//! A [`Verb`] is an action's name; an [`Action`] has its arguments too; an [`Invocation`] is the whole command line,
//! past every check that needs no device.

use std::ffi::OsString;
use std::path::PathBuf;

use super::args::Options;
use super::usage::UsageError;
use super::values::SlotRef;

/// An action, without its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is documented by its row in VERBS")]
pub enum Verb {
    Open,
    Close,
    Resize,
    Status,
    Benchmark,
    Repair,
    Reencrypt,
    Erase,
    Convert,
    Config,
    Format,
    AddKey,
    RemoveKey,
    ChangeKey,
    ConvertKey,
    KillSlot,
    Uuid,
    IsLuks,
    Cat,
    Write,
    Image,
    List,
    /// Show devices.
    Info,
    /// Show the devices below devices.
    Deps,
    /// Show tables.
    Table,
    /// Show the tree of devices.
    Tree,
    Dump,
    TcryptDump,
    BitlkDump,
    Fvault2Dump,
    Suspend,
    Resume,
    HeaderBackup,
    HeaderRestore,
    Token,
    Unlock,
    Answer,
    Doctor,
}

/// The manual page of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Mapping volumes, and operations on a mapping.
    Volumes,
    /// Making a volume.
    Format,
    /// Keyslots.
    Keys,
    /// The header as a whole.
    Header,
    /// LUKS2 tokens.
    Tokens,
    /// Unlocking a machine while it boots.
    Boot,
    /// The rest.
    Other,
}

/// The description of an action, for help and checks.
#[derive(Clone, Copy, Debug)]
pub struct VerbInfo {
    /// The action.
    pub verb: Verb,
    /// Its name on the command line.
    pub name: &'static str,
    /// Its arguments, in the form of the usage text.
    pub arguments: &'static str,
    /// The least number of arguments.
    pub required: usize,
    /// The largest number of arguments.
    pub most: usize,
    /// Its description, in one line.
    pub summary: &'static str,
    /// Its manual page.
    pub group: Group,
}

macro_rules! verb {
    ($verb:ident $name:literal $arguments:literal $required:literal..=$most:literal $group:ident $summary:literal) => {
        VerbInfo {
            verb: Verb::$verb,
            name: $name,
            arguments: $arguments,
            required: $required,
            most: $most,
            summary: $summary,
            group: Group::$group,
        }
    };
}

/// Every action, in the order of the help.
#[rustfmt::skip]
pub const VERBS: &[VerbInfo] = &[
    verb!(Open "open" "<device> [--type <type>] [<name>]" 1..=2 Volumes "unlock a volume and map it as <name>"),
    verb!(Close "close" "<name>" 0..=1 Volumes "remove a mapping"),
    verb!(Resize "resize" "<name>" 1..=1 Volumes "resize an active mapping"),
    verb!(Status "status" "<name>" 1..=1 Volumes "show the state of a mapping"),
    verb!(List "list" "" 0..=0 Volumes "list all open volumes and all other devices of the device-mapper"),
    verb!(Info "info" "[<name>...]" 0..=1000 Volumes "show the state of any device of the device-mapper"),
    verb!(Deps "deps" "[<name>...]" 0..=1000 Volumes "show what any device of the device-mapper stands on"),
    verb!(Table "table" "[<name>...]" 0..=1000 Volumes "show the table of any device of the device-mapper, without keys"),
    verb!(Tree "tree" "" 0..=0 Volumes "show what stands on what, from file systems down to disks and files"),
    verb!(Benchmark "benchmark" "[--cipher <cipher>]" 0..=0 Other "measure ciphers and key derivation functions"),
    verb!(Repair "repair" "<device>" 1..=1 Header "try to repair the metadata on the device"),
    verb!(Reencrypt "reencrypt" "<device>" 0..=2 Format "change the volume key or the cipher of a LUKS2 volume"),
    verb!(Erase "erase" "<device>" 1..=1 Keys "erase all keyslots, of other keys too, and with them the volume"),
    verb!(Convert "convert" "<device>" 1..=1 Header "convert a header between LUKS1 and LUKS2"),
    verb!(Config "config" "<device>" 1..=1 Header "set the label, the subsystem or a keyslot's priority"),
    verb!(Format "luksFormat" "<device> [<new key file>]" 1..=2 Format "make a LUKS volume"),
    verb!(AddKey "luksAddKey" "<device> [<new key file>]" 1..=2 Keys "add a passphrase"),
    verb!(RemoveKey "luksRemoveKey" "<device> [<key file>]" 1..=2 Keys "remove the passphrase that is given"),
    verb!(ChangeKey "luksChangeKey" "<device> [<key file>]" 1..=2 Keys "change a passphrase"),
    verb!(ConvertKey "luksConvertKey" "<device> [<key file>]" 1..=2 Keys "give a keyslot new PBKDF parameters"),
    verb!(KillSlot "luksKillSlot" "<device> <key slot>" 2..=2 Keys "wipe the keyslot of this number"),
    verb!(Uuid "luksUUID" "<device>" 1..=1 Header "print the UUID, or set it"),
    verb!(Cat "cat" "<device>" 1..=1 Volumes "write the decrypted data to standard output"),
    verb!(Write "write" "<device> [<file>]" 1..=2 Volumes "write standard input or <file> into the decrypted data"),
    verb!(Image "image" "<source> <target>" 2..=2 Format "turn a plain image into a LUKS volume, or back with --decrypt"),
    verb!(IsLuks "isLuks" "<device>" 1..=1 Header "succeed if the device holds a LUKS header"),
    verb!(Dump "luksDump" "<device>" 1..=1 Header "show the header"),
    verb!(TcryptDump "tcryptDump" "<device>" 1..=1 Other "show a TrueCrypt or VeraCrypt header"),
    verb!(BitlkDump "bitlkDump" "<device>" 1..=1 Other "show a BitLocker header"),
    verb!(Fvault2Dump "fvault2Dump" "<device>" 1..=1 Other "show a FileVault2 header"),
    verb!(Suspend "luksSuspend" "<device>" 1..=1 Volumes "freeze a mapping and wipe its key from memory"),
    verb!(Resume "luksResume" "<device>" 1..=1 Volumes "unlock a frozen mapping"),
    verb!(HeaderBackup "luksHeaderBackup" "<device>" 1..=1 Header "back up the header and its keyslots"),
    verb!(HeaderRestore "luksHeaderRestore" "<device>" 1..=1 Header "restore the header and its keyslots"),
    verb!(Token "token" "<add|remove|import|export> <device>" 2..=2 Tokens "work on LUKS2 tokens"),
    verb!(Unlock "unlock" "[<name>...]" 0..=999 Boot "unlock the volumes of crypttab and of the kernel command line"),
    verb!(Answer "answer" "" 0..=0 Boot "give the passphrase that unlock waits for, from another shell"),
    verb!(Doctor "doctor" "" 0..=0 Boot "check whether this machine would unlock at its next boot"),
];

/// Actions that cryptsetup does not have.
pub const OUR_VERBS: &[Verb] = &[
    Verb::Cat,
    Verb::Write,
    Verb::Image,
    Verb::List,
    Verb::Unlock,
    Verb::Answer,
    Verb::Doctor,
    Verb::Info,
    Verb::Deps,
    Verb::Table,
    Verb::Tree,
];

impl Verb {
    /// Its row in [`VERBS`].
    pub fn info(self) -> &'static VerbInfo {
        VERBS
            .iter()
            .find(|info| info.verb == self)
            .expect("every verb has a row: tested")
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

/// An older name of an action, and its implied options.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// The older name.
    pub name: &'static str,
    /// The action.
    pub verb: Verb,
    /// The type that the name implies, whatever `--type` says.
    device_type: Option<DeviceType>,
    /// Whether it implies `--refresh`.
    refresh: bool,
    /// Whether the name comes before the device.
    name_first: bool,
}

const fn alias(name: &'static str, verb: Verb, device_type: Option<DeviceType>) -> Alias {
    Alias {
        name,
        verb,
        device_type,
        refresh: false,
        name_first: false,
    }
}

/// The older names.
pub const ALIASES: &[Alias] = &[
    Alias {
        name_first: true,
        ..alias("create", Verb::Open, Some(DeviceType::Plain))
    },
    alias("plainOpen", Verb::Open, Some(DeviceType::Plain)),
    alias("luksOpen", Verb::Open, Some(DeviceType::Luks)),
    alias("loopaesOpen", Verb::Open, Some(DeviceType::LoopAes)),
    alias("tcryptOpen", Verb::Open, Some(DeviceType::Tcrypt)),
    alias("bitlkOpen", Verb::Open, Some(DeviceType::Bitlk)),
    alias("fvault2Open", Verb::Open, Some(DeviceType::Fvault2)),
    Alias {
        refresh: true,
        ..alias("refresh", Verb::Open, None)
    },
    alias("remove", Verb::Close, None),
    alias("plainClose", Verb::Close, None),
    alias("luksClose", Verb::Close, None),
    alias("loopaesClose", Verb::Close, None),
    alias("tcryptClose", Verb::Close, None),
    alias("bitlkClose", Verb::Close, None),
    alias("fvault2Close", Verb::Close, None),
    alias("luksErase", Verb::Erase, None),
    alias("luksDelKey", Verb::KillSlot, None),
];

/// The type of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceType {
    /// LUKS of whichever version.
    Luks,
    /// LUKS1 only.
    Luks1,
    /// LUKS2 only.
    Luks2,
    /// dm-crypt without a header.
    Plain,
    /// loop-AES.
    LoopAes,
    /// TrueCrypt and VeraCrypt.
    Tcrypt,
    /// BitLocker.
    Bitlk,
    /// FileVault2.
    Fvault2,
}

impl DeviceType {
    /// Parses a type in the spelling of `--type`; upper case is accepted for LUKS, as in cryptsetup.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "luks" => Self::Luks,
            "luks1" | "LUKS1" => Self::Luks1,
            "luks2" | "LUKS2" => Self::Luks2,
            "plain" => Self::Plain,
            "loopaes" => Self::LoopAes,
            "tcrypt" => Self::Tcrypt,
            "bitlk" => Self::Bitlk,
            "fvault2" => Self::Fvault2,
            _ => return None,
        })
    }

    /// Its name, in the spelling of `--type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Luks => "luks",
            Self::Luks1 => "luks1",
            Self::Luks2 => "luks2",
            Self::Plain => "plain",
            Self::LoopAes => "loopaes",
            Self::Tcrypt => "tcrypt",
            Self::Bitlk => "bitlk",
            Self::Fvault2 => "fvault2",
        }
    }

    /// Whether it is LUKS of any version.
    pub fn is_luks(self) -> bool {
        matches!(self, Self::Luks | Self::Luks1 | Self::Luks2)
    }
}

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
pub(super) struct Spoken {
    pub(super) verb: Verb,
    pub(super) device_type: Option<DeviceType>,
    pub(super) refresh: bool,
    pub(super) arguments: Vec<OsString>,
}

impl Spoken {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once() {
        let names: Vec<_> = VERBS
            .iter()
            .map(|v| v.name)
            .chain(ALIASES.iter().map(|a| a.name))
            .collect();
        for (n, name) in names.iter().enumerate() {
            assert!(!names[..n].contains(name), "{name}");
        }
    }
}
