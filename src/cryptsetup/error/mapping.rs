//! An active mapping is in the wrong state, or missing.

use crate::block_device::Holder;
use crate::volume::VolumeError;

/// An active mapping is in the wrong state, or missing.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The mapping already exists.
    #[error("Device {0} already exists.")]
    AlreadyMapped(String),
    /// There is no such mapping.
    #[error("Device {0} is not active.")]
    NotActive(String),
    /// The device-mapper has no such device, whatever its kind. As with dmsetup, the exit code is 1.
    #[error("Device {0} does not exist.")]
    NoSuchMapping(String),
    /// The mapping is in use.
    #[error("Device {name} is still in use.")]
    InUse {
        /// Its name.
        name: String,
        /// Its users, as far as they are visible.
        holders: Vec<Holder>,
    },
    /// The mapping is suspended, which the operation does not allow.
    #[error("Device {0} is not active.")]
    Frozen(String),
    /// The mapping is already suspended.
    #[error("Volume {0} is already suspended.")]
    Suspended(String),
    /// The mapping is not suspended.
    #[error("Volume {0} is not suspended.")]
    NotSuspended(String),
    /// Only LUKS volumes can be suspended.
    #[error("This operation is supported only for LUKS device.")]
    OnlyLuks,
    /// There is no header to resume the mapping with; `kind` as in `NotLuks`.
    #[error("{name} is not active {kind} device name{}.", if *kind == "LUKS" { " or header is missing" } else { "" })]
    NotActiveLuks {
        /// The mapping.
        name: String,
        /// The expected kind.
        kind: &'static str,
    },
    /// Only LUKS volumes can be suspended, and this is not a volume.
    #[error("This operation is supported only for LUKS device.\n{0} is not active LUKS device name.")]
    NoVolume(String),
    /// There is a device of that name, but nothing is mapped.
    #[error("Device {0} has no table.")]
    NoTable(String),
    /// The mapping is not one of ours.
    #[error("{0} is not cryptsetup managed device.")]
    NotManaged(String),
    /// The mapping has another cipher, sector size or key.
    #[error("Mismatching parameters on device {0}.")]
    Mismatch(String),
    /// The key is in the keyring, which was disabled.
    #[error("Resize of active device requires volume key in keyring but --disable-keyring option is set.")]
    ResizeNeedsKeyring,
    /// The file of a served volume is in use.
    #[error("Device {name} is still in use.")]
    ServedInUse {
        /// The volume.
        name: String,
        /// Loop devices on it.
        loops: Vec<String>,
    },
    /// The kernel is too old for some flags.
    #[error("Requested dm-crypt performance options are not supported.")]
    OptionsRefused,
    /// The active mapping is of another volume, and how that was detected.
    #[error("Device {name} is a mapping of another volume.")]
    NotThatVolume {
        /// The mapping.
        name: String,
        /// The difference.
        #[source]
        source: VolumeError,
    },
    /// This many volumes are still in use; each was reported.
    #[error("{0} of the volumes could not be closed.")]
    StillInUse(usize),
}
