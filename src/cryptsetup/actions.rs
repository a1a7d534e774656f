//! The actions: their names, old and new, their arguments, and the types of volumes that some names imply.

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
    /// Judge devices.
    Check,
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
    verb!(Deps "deps" "[<name>...]" 0..=1000 Volumes "show the devices below any device of the device-mapper"),
    verb!(Table "table" "[<name>...]" 0..=1000 Volumes "show the table of any device of the device-mapper, without keys"),
    verb!(Tree "tree" "" 0..=0 Volumes "show how devices are stacked, from file systems down to disks and files"),
    verb!(Check "check" "[<name>...]" 0..=1000 Volumes "check devices of the device-mapper: sound, warning or critical"),
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
    Verb::Check,
];

/// Actions of cryptsetup that are always refused: help and manual pages under our own name do not show them.
pub const REFUSED_VERBS: &[Verb] = &[Verb::TcryptDump, Verb::BitlkDump, Verb::Fvault2Dump];

impl VerbInfo {
    /// Whether it is carried out.
    pub fn is_shown(&self) -> bool {
        !REFUSED_VERBS.contains(&self.verb)
    }

    /// Its older names, but for those of types that are not opened.
    pub fn older_names(&self) -> impl Iterator<Item = &'static str> {
        let opened = |alias: &&Alias| {
            alias
                .device_type
                .is_none_or(|kind| kind.is_luks() || kind == DeviceType::Plain)
        };
        let own = ALIASES.iter().filter(|alias| alias.verb == self.verb);
        own.filter(opened).map(|alias| alias.name)
    }
}

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
    pub(super) device_type: Option<DeviceType>,
    /// Whether it implies `--refresh`.
    pub(super) refresh: bool,
    /// Whether the name comes before the device.
    pub(super) name_first: bool,
}

pub(super) const fn alias(name: &'static str, verb: Verb, device_type: Option<DeviceType>) -> Alias {
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
