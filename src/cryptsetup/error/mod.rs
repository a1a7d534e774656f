//! Every way a command can fail. Its exit code is in `exit_code`, what to do about it in `remedies`.
//!
//! `Display` is the reference's wording, which programs look for; the remedy is ours, and comes on a second line under
//! our own name only.

mod exit_code;
mod from;
mod image;
mod keyslot;
mod mapping;
mod pbkdf;
mod remedies;
mod token;

use std::path::PathBuf;

use keyslots::header::Version;
use keyslots::units::{Bytes, Sectors};

pub use image::ImageError;
pub use keyslot::KeyslotError;
pub use mapping::MappingError;
pub use pbkdf::PbkdfError;
pub use token::TokenError;

use crate::block_device::Holder;
use crate::boot::prompt::responder::AnswerError;
use crate::boot::unlock::UnlockError;
use crate::console::{ExitCode, unreachable_text};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::usage::UsageError;
use crate::dm::DmError;
use crate::header_backup::BackupError;
use crate::keyring::KeyringError;
use crate::locks::{LOCK_DIR, LockError, LockMode};
use crate::passphrase::{PassphraseError, Weakness};
use crate::policy::Violation;
use crate::slot_names::SlotNameError;
use crate::userspace::{ServeError, UserspaceError};
use crate::volume::{PlainKeyError, VolumeError};

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
    /// The device cannot be opened.
    #[error("Device {} does not exist or access denied.", .0.display())]
    DeviceMissing(PathBuf),
    /// The device can be read, and not written.
    #[error("Cannot write to device {}, permission denied.", device.display())]
    NotWritable {
        /// The device.
        device: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The header would stand on a disk where nothing can be rewritten in its place.
    #[error("Zoned device {} cannot be used for LUKS header.", .0.display())]
    ZonedHeader(PathBuf),
    /// The lock on a header cannot be taken.
    #[error("{}Failed to acquire {} lock on device {}.", unusable_folder(source), lock_word(*mode), device.display())]
    HeaderLock {
        /// The device.
        device: PathBuf,
        /// What the lock was for.
        mode: LockMode,
        /// Why.
        #[source]
        source: LockError,
    },
    /// The file to be formatted is shorter than a sector.
    #[error("Device {} is too small.", .0.display())]
    DeviceTiny(PathBuf),
    /// The file for a volume key cannot be opened.
    #[error("Cannot read keyfile {}.", file.display())]
    VolumeKeyFileMissing {
        /// The file.
        file: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file for a volume key ends too early.
    #[error("Cannot read {len} bytes from keyfile {}.", file.display())]
    VolumeKeyFileShort {
        /// The file.
        file: PathBuf,
        /// How long the key is.
        len: usize,
    },
    /// The cipher to be measured is unknown, or takes no such key.
    #[error("Cipher {cipher} (with {bits} bits key) is not available.")]
    CipherUnavailable {
        /// The specification.
        cipher: String,
        /// Length of the key.
        bits: usize,
        /// What is wrong with it.
        #[source]
        source: keyslots::cipher::CipherError,
    },
    /// The text is no cipher, or chooses a kernel driver.
    #[error("No known cipher specification pattern detected.")]
    CipherPattern(#[source] keyslots::cipher::CipherTextError),
    /// There is no header of the kind that is needed; `kind` is "LUKS", "LUKS1" or "LUKS2".
    #[error("Device {} is not a valid {kind} device.", .device.display())]
    NotLuks {
        /// The device.
        device: PathBuf,
        /// What it should have been.
        kind: &'static str,
    },
    /// There is a header, and it is not valid; `kind` as in `NotLuks`.
    #[error("{source}.\nDevice {} is not a valid {kind} device.", .device.display())]
    DamagedHeader {
        /// The device.
        device: PathBuf,
        /// What it should have been.
        kind: &'static str,
        /// What is wrong with the header.
        #[source]
        source: keyslots::Error,
    },
    /// Something else stands over the primary copy of a LUKS2 header.
    #[error(
        "Device contains ambiguous signatures, cannot auto-recover LUKS2.\nPlease run \"cryptsetup repair\" for \
         recovery.\nDevice {} is not a valid LUKS device.",
        device.display()
    )]
    Ambiguous {
        /// The device.
        device: PathBuf,
        /// What stands there.
        found: String,
    },
    /// LUKS1 has no flags that stay.
    #[error("This operation is supported only for LUKS2 device.")]
    OnlyLuks2,
    /// The data would start behind the end of the device.
    #[error("Requested offset is beyond real size of device {}.", device.display())]
    OffsetBeyondDevice {
        /// The device.
        device: PathBuf,
        /// Where the data would start.
        offset: Sectors,
        /// The size of the device.
        size: Sectors,
    },
    /// The device ends inside the data.
    #[error("Device {} is too small.", device.display())]
    NoSpaceForData {
        /// The device.
        device: PathBuf,
        /// How much is wanted.
        wanted: Sectors,
        /// How much there is.
        available: Sectors,
    },
    /// The size is not a whole number of encryption sectors of so many bytes.
    #[error("Device size is not aligned to requested sector size.")]
    SizeNotAligned(u32),
    /// The hash of a plain volume is unknown.
    #[error("Hash algorithm {0} not supported.")]
    PlainHashUnknown(String),
    /// The hash of a plain volume cannot fill the key.
    #[error("Key processing error (using hash {0}).")]
    PlainKey(String),
    /// The key of a plain volume would be too long.
    #[error("Key processing error: {0}.")]
    PlainKeyTooLong(#[source] PlainKeyError),
    /// The key in the keyring is not as long as the volume's.
    #[error("The key in the keyring has {found} bytes, the volume key has {needed}.")]
    KeyringKeyLength {
        /// How long it is.
        found: usize,
        /// How long it should be.
        needed: usize,
    },
    /// The backup would overwrite something.
    #[error("Requested header backup file {} already exists.", .0.display())]
    BackupExists(PathBuf),
    /// The backup's file cannot be made.
    #[error("Cannot create header backup file {}.", path.display())]
    BackupCreate {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The backup cannot be opened.
    #[error(
        "Device {} does not exist or access denied.\nHeader backup file does not contain compatible LUKS header.",
        .0.display()
    )]
    BackupFileUnreadable(PathBuf),
    /// The backup is none, or damaged.
    #[error("Header backup file does not contain compatible LUKS header.")]
    BackupInvalid {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: keyslots::Error,
    },
    /// The backup is of a volume that is laid out differently.
    #[error("{0} on device and backup, restore failed.")]
    RestoreLayout(&'static str),
    /// The device ends too early.
    #[error("Device {} is too small. Need at least {} bytes.", device.display(), needed.get())]
    DeviceTooSmall {
        /// The device.
        device: PathBuf,
        /// What is needed.
        needed: Bytes,
    },
    /// The backup has a requirement that no restored header may have.
    #[error("The backup has the requirement {0}, with which it cannot be restored.")]
    BackupRequirement(String),
    /// `config` without anything to set.
    #[error("Option --priority, --label or --subsystem is missing.")]
    NothingToConfigure,
    /// `convert` to what it is.
    #[error("Device is already {0} type.")]
    AlreadyOfType(&'static str),
    /// `convert` of a volume that is mapped.
    #[error("Cannot convert device {} which is still in use.", .0.display())]
    ConvertInUse(PathBuf),
    /// The other version has no counterpart.
    #[error("Cannot convert to {to} format - {source}.")]
    CannotConvert {
        /// The version.
        to: &'static str,
        /// Why.
        #[source]
        source: keyslots::convert::ConvertRefused,
    },
    /// A person said no to `convert`.
    #[error("Operation aborted, device was NOT converted.\n")]
    ConvertAborted,
    /// The hash is unknown.
    #[error("Requested hash {0} is not supported.\nFailed to set pbkdf parameters.")]
    UnknownHash(String),
    /// A person said no.
    #[error("Operation aborted.\n")]
    Aborted,
    /// A person said no to the making of a header's file.
    #[error("Operation aborted.\n")]
    HeaderFileNotMade,
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
    /// Luksmith cannot open this type of volume.
    #[error("Luksmith cannot open volumes of type {}.", .0.name())]
    TypeUnsupported(DeviceType),
    /// Luksmith does not have this action.
    #[error("Luksmith does not have the action {0}.")]
    Unavailable(&'static str),
    /// The volume cannot be used without the kernel.
    #[error("{}.", capital(.0))]
    Userspace(#[source] UserspaceError),
    /// The volume cannot be served from userspace.
    #[error("{}.", capital(.0))]
    Serve(#[source] ServeError),
    /// The new passphrase can be guessed.
    #[error("Password quality check failed: {0}")]
    WeakPassphrase(Weakness),
    /// The volume key is another one.
    #[error("Volume key does not match the volume.")]
    WrongVolumeKey,
    /// Nothing tells how long the volume key is.
    #[error("Cannot determine volume key size for LUKS without keyslots, please use --key-size option.")]
    KeySizeUnknown,
    /// The text is no UUID.
    #[error("Wrong LUKS UUID format provided.")]
    BadUuid,
    /// The sizes of the metadata and keyslots areas do not go together.
    #[error("Unsupported LUKS2 metadata size options.")]
    MetadataSizes(#[source] keyslots::Error),
    /// The offset is not aligned.
    #[error("Data offset is not multiple of 4096 bytes.")]
    OffsetNotAligned,
    /// The data would start inside the header.
    #[error("{}", match .0 {
        Version::Luks1 => "Data offset for LUKS header must be either 0 or higher than header size.",
        Version::Luks2 => "Requested data offset is too small.",
    })]
    DataOffsetTooSmall(Version),
    /// LUKS1 does not have what the command line asks for; in cryptsetup's words.
    #[error("{0}")]
    Luks2Only(&'static str),
    /// `isLuks` of several devices.
    #[error("Only one device argument for isLuks operation is supported.")]
    OneDevice,
    /// LUKS1 has no JSON.
    #[error("Dump operation is not supported for this device type.")]
    DumpUnsupported,
    /// The file for a volume key cannot be written.
    #[error("Cannot open keyfile {} for write.", path.display())]
    KeyFileWrite {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The volume is in the middle of a reencryption.
    #[error("Device is in reencryption ({0}), and cannot be activated before that is finished.")]
    InReencryption(String),
    /// The header of a volume in the middle of a reencryption is not to be changed.
    #[error("Operation incompatible with device marked for LUKS2 reencryption. Aborting.")]
    ReencryptionMark,
    /// The header is sound, but what was interrupted is a reencryption.
    #[error("The device is in reencryption, which repair cannot finish.")]
    RepairReencryption,
    /// The volume has integrity protection.
    #[error("The volume has integrity protection (dm-integrity), which this program does not set up.")]
    NeedsIntegrity,
    /// The volume would be encrypted by the drive, or the drive is to be reset.
    #[error("Luksmith cannot set up or reset the encryption of OPAL drives.")]
    NeedsOpal,
    /// A restore was begun, and has not come to its end.
    #[error("{}.", capital(.0))]
    RestoreUnfinished(#[source] keyslots::Error),
    /// The first segment is not one of dm-crypt.
    #[error("The volume has no segment that dm-crypt could map.")]
    NoCryptSegment,
    /// A header that is kept apart from its data, taken for a volume.
    #[error("Reduced data offset is allowed only for detached LUKS header.")]
    HeaderOverData,
    /// The text does not say which keyring and which key.
    #[error("Keyring link {0:?} is not of the form <keyring>::<key description>.")]
    BadKeyringLink(String),
    /// Two links of the volume key that are not into one keyring.
    #[error("Both volume keys have to be linked to the same keyring.")]
    LinkKeyrings,
    /// A device that is neither a block device nor a file.
    #[error("Device {} is not compatible.", .0.display())]
    WrongKind(PathBuf),
    /// The data device is mounted or mapped.
    #[error("Cannot use device {} which is in use (already mapped or mounted).", device.display())]
    DeviceInUse {
        /// The device.
        device: PathBuf,
        /// Who uses it, as far as that can be seen.
        holders: Vec<Holder>,
    },
    /// The device that is to be formatted is mounted or mapped.
    #[error("Cannot exclusively open {}, device in use.", device.display())]
    FormatInUse {
        /// The device.
        device: PathBuf,
        /// Who uses it, as far as that can be seen.
        holders: Vec<Holder>,
    },
    /// No loop device can be had.
    #[error("Attaching loopback device failed (loop device with autoclear flag is required).")]
    Loop(#[source] std::io::Error),
    /// Nobody else may be kept out.
    #[error("Failed to acquire the lock: {0}.")]
    Lock(#[from] LockError),
    /// The header is unusable, or cannot be changed as asked.
    #[error("{0}.")]
    Header(#[source] keyslots::Error),
    /// The mapping failed.
    #[error("{}.", capital(.0))]
    Volume(#[source] VolumeError),
    /// The device-mapper failed.
    #[error("device-mapper: {0}")]
    Dm(#[source] DmError),
    /// The kernel takes no mapping with the cipher.
    #[error("device-mapper: {source}")]
    CipherRefused {
        /// Its specification.
        cipher: String,
        /// Length of the key.
        key_bits: usize,
        /// The kernel's answer.
        #[source]
        source: DmError,
    },
    /// The kernel has a device-mapper without dm-crypt.
    #[error("Cannot use dm-crypt. Is dm_crypt kernel module loaded?")]
    NoDmCrypt,
    /// The kernel has no device-mapper.
    #[error("Cannot initialize device-mapper. Is dm_mod kernel module loaded?")]
    NoDeviceMapper,
    /// The device-mapper is not for this user.
    #[error("Cannot initialize device-mapper, running as non-root user.")]
    NotRoot,
    /// There is no way to the device-mapper, for an action of our own: why, and what to do.
    #[error("{}", unreachable_text(.0))]
    Unreachable(#[source] DmError),
    /// The kernel has no device-mapper, and so not the mapping that an action is for.
    #[error("Cannot initialize device-mapper. Is dm_mod kernel module loaded?")]
    NothingMapped,
    /// The passphrase that `--key-description` or `--new-key-description` names cannot be read.
    #[error("Failed to read passphrase from keyring.")]
    PassphraseKeyring(#[source] KeyringError),
    /// The folder of token handlers is not an absolute path.
    #[error("Failed to set external tokens path {}.", .0.display())]
    ExternalTokensPath(PathBuf),
    /// The kernel's keyring failed.
    #[error("Kernel keyring: {0}.")]
    Keyring(#[from] KeyringError),
    /// The policy cannot be used.
    #[error("Cannot use the policy {}: {reason}.", file.display())]
    PolicyUnusable {
        /// Its file.
        file: PathBuf,
        /// Why: the system's error, or what is wrong with a line.
        reason: String,
    },
    /// The header does not meet the policy; a line for each point.
    #[error("The header does not meet the policy {}:{}", file.display(), list(violations))]
    PolicyViolated {
        /// Its file.
        file: PathBuf,
        /// All that is not met.
        violations: Vec<Violation>,
    },
    /// A keyslot's name is wrong, or protects it.
    #[error("{0}.")]
    SlotName(#[source] SlotNameError),
    /// The backup failed.
    #[error("Header backup failed: {0}.")]
    Backup(#[source] BackupError),
    /// No entry of crypttab or of the kernel's command line has the name.
    #[error("There is no entry named {0} in crypttab or on the kernel's command line.")]
    NoSuchEntry(String),
    /// A file that says what to unlock cannot be read.
    #[error("Cannot read {}: {source}.", path.display())]
    ConfigUnreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A volume is not open, for a reason that only `unlock` knows.
    #[error("{}.", capital(.0))]
    Unlock(#[source] UnlockError),
    /// Volumes that the machine cannot do without are not open; each with the reason.
    #[error("{}", reasons(.0))]
    NotUnlocked(Vec<(String, CliError)>),
    /// No unlocker takes an answer.
    #[error("{}.", capital(.0))]
    Answer(#[source] AnswerError),
    /// Failed without a word, since the answer is the exit code or was printed.
    #[error("")]
    Silent(ExitCode),
    /// The same with the words that JSON has for it.
    #[error("")]
    Quiet(ExitCode, String),
    /// An active mapping is not as it has to be, or is not there.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// A LUKS2 token cannot be used, made or removed.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// Costs of a key derivation that cannot be taken.
    #[error(transparent)]
    Pbkdf(#[from] PbkdfError),
    /// Data that this program itself would copy.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A keyslot cannot be used, made or removed.
    #[error(transparent)]
    Keyslot(#[from] KeyslotError),
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("\n  {violation}.")).collect()
}

fn reasons(volumes: &[(String, CliError)]) -> String {
    let lines = volumes
        .iter()
        .map(|(name, error)| format!("{name} is not open: {error}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What the rooms below say in the middle of a sentence, as one of its own.
fn capital(text: &dyn std::fmt::Display) -> String {
    let text = text.to_string();
    let mut letters = text.chars();
    letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(letters)
        .collect()
}

impl From<UsageError> for CliError {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

fn lock_word(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Shared => "read",
        LockMode::Exclusive => "write",
    }
}

/// What cryptsetup says of a lock folder that is a link or a file.
fn unusable_folder(error: &LockError) -> String {
    match error.source.kind() {
        std::io::ErrorKind::NotADirectory => {
            format!("Locking aborted. The locking path {LOCK_DIR} is unusable (cryptsetup is not a directory).\n")
        }
        _ => String::new(),
    }
}
