//! A reencryption does not begin or go on.

use keyslots::KeyslotId;
use std::path::PathBuf;

/// A reencryption does not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ReencryptError {
    /// Another process is at it.
    #[error("Reencryption process is already running.")]
    Running,
    /// A zone was interrupted.
    #[error("Device requires reencryption recovery. Run repair first.")]
    NeedsRecovery,
    /// None was begun.
    #[error("Device reencryption not in progress.")]
    NotBegun,
    /// One was begun before.
    #[error("LUKS2 reencryption already initialized. Aborting operation.")]
    AlreadyBegun,
    /// It was begun in another mode than the option says.
    #[error("Device is not in LUKS2 {0}. Conflicting option --{1}.")]
    OtherMode(&'static str, &'static str),
    /// Key, cipher and sector size would stay.
    #[error("No data segment parameters changed. Reencryption aborted.")]
    NothingChanges,
    /// The device to encrypt already has a LUKS header.
    #[error("Device {} is already LUKS device. Aborting operation.", .0.display())]
    AlreadyLuks(PathBuf),
    /// There is no room for a header.
    #[error(
        "Encryption without detached header (--header) is not possible without data device size reduction \
         (--reduce-device-size)."
    )]
    NoRoomForHeader,
    /// cryptsetup takes both options, and recovers an interruption to wrong data.
    #[error("Options --header and --reduce-device-size cannot be combined: with a header of its own, no data move.")]
    NothingMoves,
    /// The option is of no use, or dangerous, for another mode.
    #[error("Option --{0} is for --encrypt only.")]
    EncryptOnly(&'static str),
    /// The option was for the begin.
    #[error("Option --{0} is for the begin of a reencryption, and this one has begun.")]
    Decided(&'static str),
    /// The key stays, and is another one.
    #[error("Options --keep-key and --new-volume-key-file cannot be combined.")]
    KeptKey,
    /// No keyslot has the key.
    #[error("No keyslot has one of the volume keys: --{0} is needed.")]
    KeyNeeded(&'static str),
    /// The device ends within a sector.
    #[error("Data device is not aligned to encryption sector size ({0} bytes).")]
    NotAligned(u32),
    /// There is no room for any data.
    #[error("Device {} is too small.", .0.display())]
    TooSmall(PathBuf),
    /// The parameters were changed, or the keys are others.
    #[error("Reencryption metadata is invalid.\nReencryption volume keys do not match the volume.")]
    NotVerified,
    /// The blocks of the file system are smaller.
    #[error(
        "Requested --sector-size {sector_size} is incompatible with {name} superblock\n\
         (block size: {block} bytes) detected on device {}.", device.display()
    )]
    SmallBlocks {
        /// The device.
        device: PathBuf,
        /// The file system.
        name: &'static str,
        /// Bytes of its blocks.
        block: u32,
        /// Bytes of an encryption sector.
        sector_size: u32,
    },
    /// A header of another version is what the option says.
    #[error("Conflicting versions. Device {} is LUKS2.", .0.display())]
    OtherVersion(PathBuf),
    /// The copy of the header was interrupted. The device still has it.
    #[error("The header file {} is not complete: its export was interrupted.", .0.display())]
    IncompleteExport(PathBuf),
    /// Decryption leaves no place for the header.
    #[error("LUKS2 decryption requires --header option.")]
    NeedsHeaderFile,
    /// A header of its own whose data start elsewhere.
    #[error("LUKS2 decryption is supported with detached header device only (with data offset set to 0).")]
    OffsetNotZero,
    /// A key would be left without a keyslot, and in no file.
    #[error(
        "With --volume-key-file alone, the new volume key would be lost: name a file for it (--new-volume-key-file)."
    )]
    NewKeyLost,
    /// cryptsetup does not find out whether a file is in use.
    #[error(
        "Device {} is not a block device. Can not auto-detect if it is active or not.\n\
         Use --force-offline-reencrypt to bypass the check and run in offline mode (dangerous!).",
        .0.display()
    )]
    NotBlockDevice(PathBuf),
    /// A file system may have smaller blocks.
    #[error(
        "Encryption sector size increase on offline device is not supported.\n\
         Activate the device first or use --force-offline-reencrypt option (dangerous!)."
    )]
    LargerSectors,
    /// No resilience of this name.
    #[error("Unsupported resilience mode {0}")]
    UnknownResilience(String),
    /// The resilience of data that move is fixed, and no other data have it.
    #[error("Requested --resilience option cannot be applied to current reencryption operation.")]
    OtherResilience,
    /// Zones have to be whole blocks.
    #[error("Hotzone size must be multiple of calculated zone alignment ({0} bytes).")]
    Hotzone(u32),
    /// One key file opens one keyslot.
    #[error(
        "Key file or keyring key description can be used only with --key-slot or with exactly one key slot active."
    )]
    ManyKeyslots,
    /// There are not enough free keyslots for the new key and the reencryption.
    #[error("Not enough free keyslots for reencryption.")]
    FewKeyslots,
    /// The keyslot cannot be made again for another key.
    #[error("Key slot {0} has a key derivation function that is unknown, and cannot be made again for the new key.")]
    KeyslotUnknown(KeyslotId),
    /// Keyslots are lost.
    #[error(
        "Reencryption with a volume key of your own destroys all keyslots of the old one: it needs --force-no-keyslots."
    )]
    NeedsForce,
    /// The file system does not fit.
    #[error("The file system on {} takes {needed} bytes, and {left} are left for it.", device.display())]
    FileSystem {
        /// The device.
        device: PathBuf,
        /// Bytes of the file system.
        needed: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// An encryption in place was interrupted before its header was on the device.
    #[error(
        "The encryption of {} was interrupted. Its header is in the file {}, in the folder where it was started.",
        device.display(),
        file.display()
    )]
    HeaderFileMissing {
        /// The device.
        device: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// A signal.
    #[error("\nReencryption interrupted.")]
    Interrupted,
}
