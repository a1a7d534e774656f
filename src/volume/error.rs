//! What can go wrong between a key and a mapping: the facts. Remedies are the command line's.

use std::path::PathBuf;

use keyslots::units::Sectors;

use crate::dm::DmError;
use crate::dm::NameError;
use crate::dm::table::TableError;
use crate::keyring::KeyringError;

/// An error of this module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// There is a mapping of that name already.
    #[error("device {0} already exists")]
    Exists(String),
    /// There is no mapping of that name.
    #[error("device {0} is not active")]
    NotActive(String),
    /// The mapping is not one of dm-crypt.
    #[error("device {0} is not an encrypted volume")]
    NotCrypt(String),
    /// Somebody has the mapping open.
    #[error("device {0} is still in use")]
    Busy(String),
    /// The mapping is suspended already.
    #[error("volume {0} is already suspended")]
    Suspended(String),
    /// The mapping is not suspended.
    #[error("volume {0} is not suspended")]
    NotSuspended(String),
    /// The data device ends before the data start.
    #[error("device {} is too small: the data start at sector {}, it has {}", device.display(), offset.get(), size.get())]
    NoSpace {
        /// The data device.
        device: PathBuf,
        /// Where the data start.
        offset: Sectors,
        /// Its size.
        size: Sectors,
    },
    /// The size is not a whole number of encryption sectors.
    #[error("the size of {} sectors is not a multiple of the encryption sector size {sector_size}", size.get())]
    SizeNotAligned {
        /// The size of the mapping.
        size: Sectors,
        /// Bytes of one encryption sector.
        sector_size: u32,
    },
    /// The volume is in the middle of a reencryption.
    #[error("the volume is in reencryption ({0})")]
    InReencryption(String),
    /// The volume has integrity protection.
    #[error("the volume has integrity protection (dm-integrity)")]
    NeedsIntegrity,
    /// The first segment is not one of dm-crypt.
    #[error("the volume has no segment for dm-crypt")]
    NoCryptSegment,
    /// The header keeps the volume from being mapped.
    #[error(transparent)]
    Luks(#[from] keyslots::Error),
    /// The name cannot be one of a device.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The table cannot be put together or understood.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The device-mapper refused.
    #[error(transparent)]
    Dm(#[from] DmError),
    /// The kernel refused the table: most often for want of a cipher.
    #[error("the kernel does not take the cipher {cipher} with a key of {key_bits} bits: {source}")]
    CipherRefused {
        /// Cipher specification.
        cipher: String,
        /// Length of the key in bits.
        key_bits: usize,
        /// The kernel's answer.
        source: DmError,
    },
    /// The kernel keyring refused the volume key.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// No memory that can be wiped.
    #[error("no memory for a key: {0}")]
    Memory(#[source] std::io::Error),
}
