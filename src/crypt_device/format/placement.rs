//! Where the data of a new volume start, and the size of their encryption sectors.

use keyslots::header::Version;
use keyslots::units::{Bytes, Sectors};
use keyslots::{luks1, luks2};

use super::FormatRequest;
use crate::block_device::Topology;
use crate::crypt_device::{FormatError, HeaderPlace};

/// The start of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At this offset, which has to be behind the header.
    At(Sectors),
    /// At the first multiple of this behind the header.
    Aligned(Sectors),
    /// At a distance behind such a multiple, like the device's physical sectors.
    Shifted {
        /// The multiple.
        alignment: Sectors,
        /// The distance behind it.
        by: Sectors,
    },
    /// On a device of their own, from its start.
    Detached,
}

impl Place {
    /// As requested, and as cryptsetup reads it: an offset or an alignment of zero counts as none, and an alignment with a
    /// detached header is where the data start, since nothing precedes them.
    pub(super) fn new(request: &FormatRequest<'_>, topology: &Topology) -> Result<Self, FormatError> {
        let given = |sectors: Option<Sectors>| sectors.filter(|&sectors| sectors > Sectors::ZERO);
        let detached = request.place == HeaderPlace::Apart;
        Ok(match (given(request.offset), given(request.alignment)) {
            (Some(offset), _) if !is_aligned(offset) => return Err(FormatError::OffsetNotAligned),
            (Some(offset), _) => Self::At(offset),
            (None, Some(alignment)) if detached => Self::At(alignment),
            (None, Some(alignment)) => Self::Aligned(alignment),
            (None, None) if detached => Self::Detached,
            (None, None) => Self::Shifted {
                alignment: topology.alignment().sectors(),
                by: topology.alignment_offset.sectors(),
            },
        })
    }

    /// For LUKS1. For [`Place::At`] the end of the header has to be checked: if it is behind that, the data start later.
    pub(super) fn luks1(self) -> luks1::DataPlacement {
        match self {
            Self::At(sectors) | Self::Aligned(sectors) => luks1::DataPlacement::Aligned(sectors),
            Self::Shifted { alignment, by } => luks1::DataPlacement::Shifted { alignment, by },
            Self::Detached => luks1::DataPlacement::Detached,
        }
    }

    /// For LUKS2.
    pub(super) fn luks2(self) -> Result<luks2::DataPlacement, FormatError> {
        let bytes = |sectors: Sectors| sectors.bytes().ok_or(FormatError::OffsetNotAligned);
        Ok(match self {
            Self::At(offset) => luks2::DataPlacement::At(bytes(offset)?),
            Self::Aligned(alignment) => luks2::DataPlacement::Aligned(bytes(alignment)?),
            Self::Shifted { alignment, by } => luks2::DataPlacement::Shifted {
                alignment: bytes(alignment)?,
                by: bytes(by)?,
            },
            Self::Detached => luks2::DataPlacement::Detached,
        })
    }

    /// Whether the data start at a multiple of the largest encryption sector.
    fn suits_large_sectors(self) -> bool {
        match self {
            Self::At(sectors) | Self::Aligned(sectors) => is_aligned(sectors),
            Self::Shifted { alignment, by } => is_aligned(alignment) && is_aligned(by),
            Self::Detached => true,
        }
    }
}

fn is_aligned(sectors: Sectors) -> bool {
    sectors.bytes().is_some_and(|bytes| bytes.is_multiple_of(Bytes::kib(4)))
}

/// As requested; else 4096 if the device's own sectors, its size and the place of the data allow it, as cryptsetup
/// chooses. (Debian's 2.6.1 takes the number of `--offset` for one of bytes, and 512 for most offsets that are not a
/// multiple of 2 MiB.) The contents of an image may be made for sectors of 512 bytes: a file system with smaller blocks
/// could not be mounted any more.
pub(super) fn sector_size(request: &FormatRequest<'_>, topology: &Topology, place: Place) -> u32 {
    match (request.version, request.sector_size) {
        (Version::Luks1, _) => 512,
        (Version::Luks2, Some(size)) => size,
        (Version::Luks2, None) if request.target.is_device() && place.suits_large_sectors() => {
            topology.encryption_sector_size()
        }
        (Version::Luks2, None) => 512,
    }
}

/// Data whose length or start is not a multiple of the encryption sector size cannot be mapped.
pub(super) fn check_sectors(device: Bytes, data_offset: Bytes, sector_size: u32) -> Result<(), FormatError> {
    let sector = Bytes::new(sector_size.into());
    // A file may end within a sector, which nothing then maps.
    let device = device.sectors().bytes().unwrap_or(device);
    match device.checked_sub(data_offset) {
        Some(data) if !data.is_multiple_of(sector) => Err(FormatError::SizeNotAligned(sector_size)),
        // There are no data yet.
        None if !data_offset.is_multiple_of(sector) => Err(FormatError::SizeNotAligned(sector_size)),
        _ => Ok(()),
    }
}
