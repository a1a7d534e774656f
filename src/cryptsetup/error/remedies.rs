//! The remedy for a failure, and further details.

use std::fs::File;

use keyslots::convert::ConvertRefused;
use keyslots::kdf::KdfError;

use super::{CliError, ImageError, KeyslotError, MappingError, ReencryptError};
use crate::block_device::Holder;
use crate::header_backup::BackupError;
use crate::passphrase::{MAX_KEY_FILE, PassphraseError};
use crate::slot_names::SlotNameError;
use crate::unfinished::is_unfinished;
use crate::userspace::ServeError;

impl CliError {
    /// The remedy, if it fits on a line.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Usage(error) => return error.remedy(),
            Self::NameMissing => "Name the mapping too: luksmith open <device> <name>.".into(),
            Self::ConversionTarget => "Use --type luks1 or --type luks2.".into(),
            Self::BackupFileMissing => "Use --header-backup-file <file>.".into(),
            Self::Passphrase(PassphraseError::Open(source) | PassphraseError::Read(source)) => format!("{source}."),
            Self::Passphrase(PassphraseError::TimedOut) => "Nothing was typed within --timeout.".into(),
            Self::Passphrase(PassphraseError::TooLong) => {
                format!("Key files of more than {MAX_KEY_FILE} need --keyfile-size.")
            }
            Self::Passphrase(PassphraseError::CutOff { .. }) => {
                "It may have been changed at that moment: try again. --keyfile-size sets how many bytes are read.".into()
            }
            Self::Passphrase(PassphraseError::NothingToRead) => {
                "Standard input is not a terminal, and was empty; an empty passphrase is an empty line.".into()
            }
            Self::WrongPassphrase => "Check the keyboard layout and Caps Lock; every byte of a key file counts.".into(),
            Self::NoDeviceMapper => "Load it with \"modprobe dm_mod\", or use a kernel with CONFIG_BLK_DEV_DM.".into(),
            Self::NoDmCrypt => "Load it with \"modprobe dm_crypt\", or use a kernel with CONFIG_DM_CRYPT.".into(),
            Self::NotRoot => "Run as root, or with the capability CAP_SYS_ADMIN.".into(),
            Self::NoUsableKeyslot => "luksmith luksDump shows which keyslots there are.".into(),
            Self::DeviceMissing(_) => "Check the path, and whether you are root.".into(),
            Self::NotWritable { source, .. } => format!("{source}."),
            Self::ZonedHeader(_) => "Keep the header on another disk or in a file: --header <file>.".into(),
            Self::HeaderLock { source, .. } => format!(
                "{source}. If nothing else uses the device now, --disable-locks goes on without a lock."
            ),
            Self::HeaderOpenElsewhere(_) => {
                "Try again when it has ended. If nothing else can change the header, --disable-locks does not wait.".into()
            }
            Self::Mapping(MappingError::NoTable(name)) => format!("Nothing is mapped. To remove the device: luksmith close {name}."),
            Self::NotLuks { device, .. } if File::open(device).is_ok_and(|file| is_unfinished(&file)) => {
                "It is an image that was not finished: use luksmith image --resume with the same source, or write it again.".into()
            }
            Self::NotLuks { .. } => "If the header is kept apart, name its place with --header.".into(),
            Self::Ambiguous { found, .. } => format!(
                "The first copy of the header is damaged, and there is a {found}. If that may be overwritten, luksmith repair rewrites the copy; to read \
                 the other one alone, use --disable-locks."
            ),
            Self::DamagedHeader { device, .. } => {
                let device = device.display();
                format!(
                    "luksmith repair {device} may fix the header; a backup can replace it (luksmith luksHeaderRestore {device} \
                     --header-backup-file <file>)."
                )
            }
            Self::DeviceTiny(file) => format!(
                "If it is meant to hold a volume, make room first: truncate -s 64M {}.",
                file.display()
            ),
            Self::VolumeKeyFileMissing { source, .. } => format!("{source}."),
            Self::DataOffsetTooSmall(_) => {
                "The data must start after the header; --offset 0 stands for the default place.".into()
            }
            Self::Luks2Only(_) => "LUKS1 has no place for that: leave the option out, or use --type luks2.".into(),
            Self::TypeUnsupported(_) | Self::Unavailable(_) => "cryptsetup does that.".into(),
            Self::CipherUnavailable { source, .. } => format!("{source}."),
            Self::CipherPattern(source) => format!("{source}."),
            Self::MetadataSizes(source) => format!("{source}."),
            Self::CipherRefused { cipher, key_bits, .. } => format!(
                "The kernel does not accept the cipher {cipher} with a key of {key_bits} bits: a module may be missing."
            ),
            Self::PolicyViolated { .. } => {
                "Do not type a passphrase into this machine before you know who changed the header.".into()
            }
            Self::Header(keyslots::Error::HalfWritten(_)) => {
                "See what the header says now (luksmith luksDump), and which passphrases open the device, before you rely on either. The \
                 kernel's log says what is wrong with the disk; once that is mended, luksmith repair makes both copies of the header \
                 the same."
                    .into()
            }
            Self::Header(keyslots::Error::TokenHoldsKey { .. }) => {
                "Open the device with the new passphrase once, or change the passphrase again: that removes the token.".into()
            }
            Self::Header(keyslots::Error::Kdf(KdfError::CostTooHigh { .. })) => {
                "It would take minutes to days. If you trust the header, --no-pbkdf-limits derives the key anyway.".into()
            }
            Self::Keyslot(KeyslotError::NotUnbound(_)) => "luksmith luksDump shows which keyslots are unbound.".into(),
            Self::Mapping(MappingError::AlreadyMapped(name)) => format!("luksmith status {name} shows what it is."),
            Self::Mapping(MappingError::InUse { .. }) => "Free it first, or use --deferred to have it removed once it is free.".into(),
            Self::Mapping(MappingError::Frozen(name)) => format!("It is suspended: luksmith luksResume {name} lets it run again."),
            Self::Mapping(MappingError::NotActiveLuks { .. }) => "If the header is kept apart, name its place with --header.".into(),
            Self::PassphraseKeyring(error) => format!("Kernel keyring: {error}."),
            Self::Mapping(MappingError::ResizeNeedsKeyring) => "Leave --disable-keyring out, or open the volume with it.".into(),
            Self::OffsetBeyondDevice { offset, size, .. } => {
                format!(
                    "The data would start at sector {}, and the device has {}.",
                    offset.get(),
                    size.get()
                )
            }
            Self::NoSpaceForData { wanted, available, .. } => format!(
                "It has {} sectors for data, and {} are wanted.",
                available.get(),
                wanted.get()
            ),
            Self::SizeNotAligned(sector_size) => {
                format!("The size must be a multiple of {sector_size} bytes; --size or --device-size sets it.")
            }
            Self::PlainHashUnknown(_) => "Use --hash plain to take the passphrase itself as the key.".into(),
            Self::PlainKey(_) => {
                "The number after the colon is how many bytes of the key the hash fills: at most the length of the key."
                    .into()
            }
            Self::Mapping(MappingError::Mismatch(_)) => {
                "Refresh changes flags only; the options must be those that it was opened with.".into()
            }
            Self::Keyslot(KeyslotError::Full(_)) => "Leave --key-slot out to take the first free one.".into(),
            Self::NeededByReencryption => {
                "End the reencryption first: without what this would remove, the data are lost. --force-no-keyslots \
                 does it nevertheless."
                    .into()
            }
            Self::Reencrypt(ReencryptError::IncompleteExport(_)) => {
                "The device still has the header: remove the file, and start again.".into()
            }
            Self::BackupOfReencryption(_) => {
                "Continuing that reencryption would destroy the data. Take another backup, or, if the header on the \
                 device is the wrong one, --force-no-keyslots."
                    .into()
            }
            Self::RepairReencryption => {
                "cryptsetup repair recovers it, and cryptsetup reencrypt --resume-only ends it. Back up the header first \
                 (luksHeaderBackup)."
                    .into()
            }
            Self::Keyslot(KeyslotError::AllKeyslotsFull) => "Remove a keyslot first (luksKillSlot, luksRemoveKey).".into(),
            Self::BackupExists(_) => "A backup never overwrites a file; choose another name.".into(),
            Self::Backup(BackupError::Unreadable(_)) => {
                "Copy the start of the device by hand, as far as the data (dd), and leave --backup out.".into()
            }
            Self::BackupCreate { source, .. } => format!("{source}."),
            Self::BackupInvalid { file, source } => format!("{}: {source}.", file.display()),
            Self::RestoreLayout(_) => {
                "It is the backup of another volume, or of another layout of this one; its data would not be found."
                    .into()
            }
            Self::Mapping(MappingError::ServedInUse { loops, .. }) if loops.is_empty() => "Close the programs that have its file open.".into(),
            Self::Mapping(MappingError::ServedInUse { loops, .. }) => format!(
                "Unmount what is on {}, then detach it: losetup -d {}.",
                loops.join(" and "),
                loops.join(" ")
            ),
            Self::Serve(ServeError::Server(_) | ServeError::Mount { .. }) => {
                "This needs /dev/fuse (kernel module fuse) and, without root, fusermount3 (package fuse3).".into()
            }
            Self::Serve(ServeError::Stopped { pid, .. }) => {
                format!("Continue it with kill -CONT {pid}, or end it with kill -KILL {pid}; then close again.")
            }
            Self::Image(ImageError::VolumeEnds { written: 0 }) => {
                "Nothing was changed; luksmith luksDump shows how large the volume is.".into()
            }
            Self::Image(ImageError::VolumeShort { .. }) => {
                "The device may have been cut off: luksmith luksDump shows what the header says.".into()
            }
            Self::Image(ImageError::TargetExists(_)) => {
                "Use --resume to continue an image that is already there in part, or --batch-mode to overwrite it.".into()
            }
            Self::Mapping(MappingError::NotThatVolume { source, .. }) => {
                let reason = source.to_string();
                format!("{}{}.", reason[..1].to_uppercase(), &reason[1..])
            }
            Self::Image(ImageError::SourceIsTarget(_)) => {
                "Name another file as the target, and remove the first one when that is done.".into()
            }
            Self::Image(ImageError::AlreadyEncrypted(_)) => {
                "Use --decrypt to turn it into a plain image, or --encrypt to put it into another volume.".into()
            }
            Self::Image(ImageError::OutputIsTerminal) => "Send it to a file or into a pipe.".into(),
            Self::RestoreUnfinished(_) => "Keep the backup, and restore it once more: until that succeeds, some \
                passphrases of the old header and of the new one may not open the device."
                .into(),
            Self::CannotConvert {
                source: ConvertRefused::NoRoomToMove(_),
                ..
            } => "Nothing was changed. Remove one of the keyslots 1 to 5 (luksKillSlot), convert, and add its passphrase \
                again: the key material of another needs its place."
                .into(),
            Self::NeedsOpal | Self::NeedsIntegrity => "cryptsetup does that; nothing was changed.".into(),
            Self::SlotName(SlotNameError::Second(token)) => {
                format!("Use --token-id {token} --token-replace to put others in their place.")
            }
            Self::NotUnlocked(volumes) => return volumes.first().and_then(|(_, error)| error.remedy()),
            Self::OutOfMemory { .. } => "Free some memory, or add swap, and try again.".into(),
            _ => return None,
        })
    }

    /// Further details of the failure, under either name: the users of a device that is in use.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Mapping(MappingError::InUse { holders, .. })
            | Self::DeviceInUse { holders, .. }
            | Self::FormatInUse { holders, .. } => {
                let names: Vec<_> = holders.iter().map(Holder::to_string).collect();
                (!names.is_empty()).then(|| format!("It is held by: {}.", names.join(", ")))
            }
            Self::Header(keyslots::Error::MetadataTooLarge { len, room }) => Some(format!(
                "The device is as before. The metadata area lacks {} bytes: save a token (token export), remove it (token remove), repeat this, and \
                 add the token again (token import). Or remove a keyslot that is not needed (luksKillSlot).",
                len.saturating_sub(*room)
            )),
            _ => None,
        }
    }
}
