//! Errors between a key and a mapping: the facts. Remedies are the command line's.

use std::path::PathBuf;

use keyslots::cipher::CipherTextError;
use keyslots::units::Sectors;

use crate::block_device::Holder;
use crate::dm::DmError;
use crate::dm::NameError;
use crate::dm::table::TableError;
use crate::keyring::KeyringError;

/// An error of this module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// There is already a mapping of that name.
    #[error("device {0} already exists")]
    Exists(String),
    /// There is no mapping of that name.
    #[error("device {0} is not active")]
    NotActive(String),
    /// There is a device of that name, without a table: nothing is mapped.
    #[error("device {0} has no table")]
    NoTable(String),
    /// The mapping is not one of dm-crypt.
    #[error("device {0} is not an encrypted volume")]
    NotCrypt(String),
    /// A process has the mapping open.
    #[error("device {name} is still in use")]
    Busy {
        /// Its name.
        name: String,
        /// Its users, as far as they are visible.
        holders: Vec<Holder>,
    },
    /// The mapping is already suspended.
    #[error("volume {0} is already suspended")]
    Suspended(String),
    /// The mapping is suspended, which the operation does not allow.
    #[error("volume {0} is suspended")]
    Frozen(String),
    /// The mapping is not suspended.
    #[error("volume {0} is not suspended")]
    NotSuspended(String),
    /// The data device ends before the data start.
    #[error("the data start at sector {}, and device {} has {}", offset.get(), device.display(), size.get())]
    NoData {
        /// The data device.
        device: PathBuf,
        /// The start of the data.
        offset: Sectors,
        /// Its size.
        size: Sectors,
    },
    /// The data device ends inside the data.
    #[error("device {} has {} sectors for data, {} are wanted", device.display(), available.get(), wanted.get())]
    TooSmall {
        /// The data device.
        device: PathBuf,
        /// The size of the data.
        wanted: Sectors,
        /// The size of the device from their start on.
        available: Sectors,
    },
    /// The size is not a whole number of encryption sectors.
    #[error("the size of {} sectors is not a multiple of the encryption sector size {sector_size}", size.get())]
    SizeNotAligned {
        /// The size of the mapping.
        size: Sectors,
        /// Bytes of one encryption sector.
        sector_size: u32,
    },
    /// The first IV is not that of a whole encryption sector.
    #[error("the IV offset of {} sectors is not a multiple of the encryption sector size {sector_size}", iv_offset.get())]
    IvNotAligned {
        /// The IV offset.
        iv_offset: Sectors,
        /// Bytes of one encryption sector.
        sector_size: u32,
    },
    /// The kernel has the key from a keyring, and needs it there again.
    #[error("the key of volume {0} is in the keyring, and is needed to change its table")]
    KeyNeeded(String),
    /// An active mapping cannot get another cipher, sector size or key.
    #[error("mapping {0} has another cipher, sector size or key")]
    Mismatch(String),
    /// The cipher's text is not a valid specification.
    #[error(transparent)]
    CipherText(#[from] CipherTextError),
    /// The volume is in the middle of a reencryption.
    #[error("the volume is in reencryption ({0})")]
    InReencryption(String),
    /// The volume has integrity protection.
    #[error("the volume has integrity protection (dm-integrity)")]
    NeedsIntegrity,
    /// The volume is on a self-encrypting drive, whose locking range would have to be unlocked as well.
    #[error("the volume is on a self-encrypting drive (OPAL)")]
    NeedsOpal,
    /// The data are in several segments: more than one mapping can show.
    #[error("the data are in {0} segments")]
    SeveralSegments(usize),
    /// The data start before the header ends: what is on this device is the header of a volume whose data is elsewhere.
    #[error("the header is one of data on another device")]
    HeaderOverData,
    /// The header is that of another volume than the active one, or they cannot be compared.
    #[error("the header has the UUID {header:?}, and mapping {name} the device-mapper UUID {mapped:?}")]
    OtherVolume {
        /// The mapping.
        name: String,
        /// Its UUID.
        mapped: String,
        /// The header's.
        header: String,
    },
    /// The device is another one than the active volume's.
    #[error("mapping {0} is on another device")]
    OtherDevice(String),
    /// It is unknown which devices a device is on.
    #[error("cannot find out what a device stands on: {0}")]
    Ground(#[source] std::io::Error),
    /// The first segment is not one of dm-crypt.
    #[error("the volume has no segment for dm-crypt")]
    NoCryptSegment,
    /// The header does not allow mapping the volume.
    #[error(transparent)]
    Luks(#[from] keyslots::Error),
    /// The name is not a valid device name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No mapping can have the name.
    #[error("the name {name} cannot be given to a device: {why}")]
    NameUnfit {
        /// The name.
        name: String,
        /// The reason.
        why: &'static str,
    },
    /// The table cannot be put together or understood.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The device-mapper refused.
    #[error(transparent)]
    Dm(#[from] DmError),
    /// The kernel refused the table, most often for lack of a cipher.
    #[error("the kernel does not accept the cipher {cipher} with a key of {key_bits} bits: {source}")]
    CipherRefused {
        /// Cipher specification.
        cipher: String,
        /// Length of the key in bits.
        key_bits: usize,
        /// The kernel's answer.
        source: DmError,
    },
    /// The kernel refused the table since it has no such target.
    #[error("the kernel has no dm-crypt: {0}")]
    NoDmCrypt(#[source] DmError),
    /// The kernel refused a table with an option that only newer ones have.
    #[error("the kernel does not support the option high_priority: {0}")]
    OptionsRefused(#[source] DmError),
    /// The kernel keyring refused the volume key.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Out of memory that can be wiped.
    #[error("no memory for a key: {0}")]
    Memory(#[source] std::io::Error),
}
