//! Every way a command can fail. Its exit code is in `exit_code`, its remedy in `remedies`.
//!
//! `Display` is cryptsetup's wording, which programs look for; the remedy is ours, and comes on a second line under our
//! own name only.

mod crypt_device;
mod exit_code;
mod from;
mod image;
mod keyslot;
mod mapping;
mod pbkdf;
mod reencrypt;
mod remedies;
mod token;

use std::path::PathBuf;

use keyslots::header::Version;
use keyslots::units::{Bytes, Sectors};

pub(in crate::cryptsetup) use crypt_device::format_name;
pub use image::ImageError;
pub use keyslot::KeyslotError;
pub use mapping::MappingError;
pub use pbkdf::PbkdfError;
pub use reencrypt::ReencryptError;
pub use token::TokenError;

use crate::block_device::Holder;
use crate::boot::prompt::responder::AnswerError;
use crate::boot::unlock::UnlockError;
use crate::console::{ExitCode, unreachable_text};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::usage::UsageError;
use crate::dm::DmError;
use crate::header_backup::BackupError;
use crate::header_device::HeaderError;
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
    /// The command line is invalid.
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
    /// The device can be read, but not written.
    #[error("Cannot write to device {}, permission denied.", device.display())]
    NotWritable {
        /// The device.
        device: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The header would be on a disk where nothing can be rewritten in place.
    #[error("Zoned device {} cannot be used for LUKS header.", .0.display())]
    ZonedHeader(PathBuf),
    /// The lock on a header cannot be taken.
    #[error("{}Failed to acquire {} lock on device {}.", unusable_folder(source), lock_word(*mode), device.display())]
    HeaderLock {
        /// The device.
        device: PathBuf,
        /// The purpose of the lock.
        mode: LockMode,
        /// The reason.
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
        /// The length of the key.
        len: usize,
    },
    /// The cipher to measure is unknown, or does not take such a key.
    #[error("Cipher {cipher} (with {bits} bits key) is not available.")]
    CipherUnavailable {
        /// The specification.
        cipher: String,
        /// Length of the key.
        bits: usize,
        /// The reason.
        #[source]
        source: keyslots::cipher::CipherError,
    },
    /// The text is not a valid cipher, or chooses a kernel driver.
    #[error("No known cipher specification pattern detected.")]
    CipherPattern(#[source] keyslots::cipher::CipherTextError),
    /// There is no header of the required kind; `kind` is "LUKS", "LUKS1" or "LUKS2".
    #[error("Device {} is not a valid {kind} device.", .device.display())]
    NotLuks {
        /// The device.
        device: PathBuf,
        /// The expected kind.
        kind: &'static str,
    },
    /// The header is invalid; `kind` as in `NotLuks`.
    #[error("{source}.\nDevice {} is not a valid {kind} device.", .device.display())]
    DamagedHeader {
        /// The device.
        device: PathBuf,
        /// The expected kind.
        kind: &'static str,
        /// The defect.
        #[source]
        source: keyslots::Error,
    },
    /// Other data overwrote the primary copy of a LUKS2 header.
    #[error(
        "Device contains ambiguous signatures, cannot auto-recover LUKS2.\nPlease run \"cryptsetup repair\" for \
         recovery.\nDevice {} is not a valid LUKS device.",
        device.display()
    )]
    Ambiguous {
        /// The device.
        device: PathBuf,
        /// The name of those data.
        found: String,
    },
    /// LUKS1 has no persistent flags.
    #[error("This operation is supported only for LUKS2 device.")]
    OnlyLuks2,
    /// The data would start past the end of the device.
    #[error("Requested offset is beyond real size of device {}.", device.display())]
    OffsetBeyondDevice {
        /// The device.
        device: PathBuf,
        /// The intended start of the data.
        offset: Sectors,
        /// The size of the device.
        size: Sectors,
    },
    /// The device ends inside the data.
    #[error("Device {} is too small.", device.display())]
    NoSpaceForData {
        /// The device.
        device: PathBuf,
        /// The required size.
        wanted: Sectors,
        /// The available size.
        available: Sectors,
    },
    /// The size is not a multiple of this encryption sector size.
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
        /// The actual length.
        found: usize,
        /// The expected length.
        needed: usize,
    },
    /// The backup would overwrite a file.
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
    /// The backup is invalid or damaged.
    #[error("Header backup file does not contain compatible LUKS header.")]
    BackupInvalid {
        /// The file.
        file: PathBuf,
        /// The defect.
        #[source]
        source: keyslots::Error,
    },
    /// The backup is of a volume with another layout.
    #[error("{0} on device and backup, restore failed.")]
    RestoreLayout(&'static str),
    /// The device is too small.
    #[error("Device {} is too small. Need at least {} bytes.", device.display(), needed.get())]
    DeviceTooSmall {
        /// The device.
        device: PathBuf,
        /// The required size.
        needed: Bytes,
    },
    /// The backup has a requirement that no restored header may have.
    #[error("The backup has the requirement {0}, with which it cannot be restored.")]
    BackupRequirement(String),
    /// `config` without anything to set.
    #[error("Option --priority, --label or --subsystem is missing.")]
    NothingToConfigure,
    /// `convert` to the version that it already is.
    #[error("Device is already {0} type.")]
    AlreadyOfType(&'static str),
    /// `convert` of a mapped volume.
    #[error("Cannot convert device {} which is still in use.", .0.display())]
    ConvertInUse(PathBuf),
    /// The other version has no counterpart.
    #[error("Cannot convert to {to} format - {source}.")]
    CannotConvert {
        /// The version.
        to: &'static str,
        /// The reason.
        #[source]
        source: keyslots::convert::ConvertRefused,
    },
    /// The user declined `convert`.
    #[error("Operation aborted, device was NOT converted.\n")]
    ConvertAborted,
    /// The hash is unknown.
    #[error("Requested hash {0} is not supported.\nFailed to set pbkdf parameters.")]
    UnknownHash(String),
    /// The user declined.
    #[error("Operation aborted.\n")]
    Aborted,
    /// The user declined to create a header's file.
    #[error("Operation aborted.\n")]
    HeaderFileNotMade,
    /// The user declined `erase`.
    #[error("Operation aborted, keyslots were NOT wiped.\n")]
    EraseAborted,
    /// The key derivation needs more memory than is available.
    #[error("Not enough available memory to open a keyslot: {needed} are needed, and {available} are available.")]
    OutOfMemory {
        /// The required memory.
        needed: Bytes,
        /// The available memory.
        available: Bytes,
    },
    /// The system failed.
    #[error("Cannot {action}: {source}")]
    Io {
        /// The failed action, as a verb phrase.
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
    /// The new passphrase is easy to guess.
    #[error("Password quality check failed: {0}")]
    WeakPassphrase(Weakness),
    /// The key is not the volume key.
    #[error("Volume key does not match the volume.")]
    WrongVolumeKey,
    /// The length of the volume key is unknown.
    #[error("Cannot determine volume key size for LUKS without keyslots, please use --key-size option.")]
    KeySizeUnknown,
    /// The text is not a valid UUID.
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
    /// The header of a volume in the middle of a reencryption must not be changed.
    #[error("Operation incompatible with device marked for LUKS2 reencryption. Aborting.")]
    ReencryptionMark,
    /// The same, where it could be forced.
    #[error("Operation incompatible with device marked for LUKS2 reencryption. Aborting.")]
    NeededByReencryption,
    /// The header is sound, but a reencryption was interrupted.
    #[error("The device is in reencryption, which repair cannot finish.")]
    RepairReencryption,
    /// The volume has integrity protection.
    #[error("The volume has integrity protection (dm-integrity), which this program does not set up.")]
    NeedsIntegrity,
    /// The volume would be encrypted by the drive, or the drive would be reset.
    #[error("Luksmith cannot set up or reset the encryption of OPAL drives.")]
    NeedsOpal,
    /// Continuing the reencryption in the backup would destroy the data.
    #[error("Backup file {} was made during a reencryption that is not in progress on the device.", .0.display())]
    BackupOfReencryption(PathBuf),
    /// A restore was begun, but not finished.
    #[error("{}.", capital(.0))]
    RestoreUnfinished(#[source] keyslots::Error),
    /// The first segment is not one of dm-crypt.
    #[error("The volume has no segment that dm-crypt could map.")]
    NoCryptSegment,
    /// A detached header was taken for a volume.
    #[error("Reduced data offset is allowed only for detached LUKS header.")]
    HeaderOverData,
    /// The text does not name a keyring and a key.
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
        /// Its users, as far as they are visible.
        holders: Vec<Holder>,
    },
    /// A program that takes no lock has the LUKS1 header open, or may have.
    #[error("Cannot change the LUKS1 header: {0}.")]
    HeaderOpenElsewhere(#[source] HeaderError),
    /// The device to format is mounted or mapped.
    #[error("Cannot exclusively open {}, device in use.", device.display())]
    FormatInUse {
        /// The device.
        device: PathBuf,
        /// Its users, as far as they are visible.
        holders: Vec<Holder>,
    },
    /// No loop device is available.
    #[error("Attaching loopback device failed (loop device with autoclear flag is required).")]
    Loop(#[source] std::io::Error),
    /// Others cannot be locked out.
    #[error("Failed to acquire the lock: {0}.")]
    Lock(#[from] LockError),
    /// The header is unusable, or cannot be changed as requested.
    #[error("{0}.")]
    Header(#[source] keyslots::Error),
    /// The mapping failed.
    #[error("{}.", capital(.0))]
    Volume(#[source] VolumeError),
    /// The device-mapper failed.
    #[error("device-mapper: {0}")]
    Dm(#[source] DmError),
    /// The kernel cannot map the cipher.
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
    /// This user may not use the device-mapper.
    #[error("Cannot initialize device-mapper, running as non-root user.")]
    NotRoot,
    /// The device-mapper is unreachable, for an action of our own: why, and the remedy.
    #[error("{}", unreachable_text(.0))]
    Unreachable(#[source] DmError),
    /// The kernel has no device-mapper, and so not the mapping that an action needs.
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
        /// The reason: the system's error, or the defect of a line.
        reason: String,
    },
    /// The header violates the policy; a line for each violation.
    #[error("The header does not meet the policy {}:{}", file.display(), list(violations))]
    PolicyViolated {
        /// Its file.
        file: PathBuf,
        /// All violations.
        violations: Vec<Violation>,
    },
    /// A keyslot's name is invalid, or protects it.
    #[error("{0}.")]
    SlotName(#[source] SlotNameError),
    /// The backup failed.
    #[error("Header backup failed: {0}.")]
    Backup(#[source] BackupError),
    /// No entry of crypttab or of the kernel's command line has the name.
    #[error("There is no entry named {0} in crypttab or on the kernel's command line.")]
    NoSuchEntry(String),
    /// A file with the volumes to unlock cannot be read.
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
    /// Required volumes are not open; each with the reason.
    #[error("{}", reasons(.0))]
    NotUnlocked(Vec<(String, CliError)>),
    /// No unlocker is waiting for an answer.
    #[error("{}.", capital(.0))]
    Answer(#[source] AnswerError),
    /// A silent failure, since the answer is the exit code or was printed.
    #[error("")]
    Silent(ExitCode),
    /// The same with a message for JSON.
    #[error("")]
    Quiet(ExitCode, String),
    /// An active mapping is in the wrong state, or missing.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// A LUKS2 token cannot be used, made or removed.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// Invalid costs of a key derivation.
    #[error(transparent)]
    Pbkdf(#[from] PbkdfError),
    /// An error of copying data in userspace.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A keyslot cannot be used, made or removed.
    #[error(transparent)]
    Keyslot(#[from] KeyslotError),
    /// A reencryption.
    #[error(transparent)]
    Reencrypt(#[from] ReencryptError),
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

/// A message of the modules below, which starts in lower case, as a sentence of its own.
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

/// cryptsetup's message for a lock folder that is a link or a file.
fn unusable_folder(error: &LockError) -> String {
    match error.source.kind() {
        std::io::ErrorKind::NotADirectory => {
            format!("Locking aborted. The locking path {LOCK_DIR} is unusable (cryptsetup is not a directory).\n")
        }
        _ => String::new(),
    }
}
