//! Why a volume cannot be made as requested.

use std::path::PathBuf;

use keyslots::header::Version;

/// Why a volume cannot be made as requested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// LUKS1 supports only 512-byte encryption sectors.
    #[error("LUKS1 has encryption sectors of 512 bytes alone")]
    Luks1SectorSize,
    /// The areas of a LUKS1 header have fixed sizes.
    #[error("the areas of a LUKS1 header have fixed sizes")]
    Luks1AreaSizes,
    /// The offset of the data is not aligned.
    #[error("the data offset is not a multiple of 4096 bytes")]
    OffsetNotAligned,
    /// The data would start inside the header.
    #[error("the data would start inside the header")]
    DataOffsetTooSmall(Version),
    /// The sizes of the metadata and keyslots areas do not go together.
    #[error("{0}")]
    AreaSizes(#[source] keyslots::Error),
    /// The data are not a multiple of this encryption sector size.
    #[error("the start or size of the data is not a multiple of the encryption sector size ({0})")]
    SizeNotAligned(u32),
    /// The file is shorter than a sector.
    #[error("{} is too small", .0.display())]
    Tiny(PathBuf),
    /// The header would be on a disk where nothing can be rewritten in place.
    #[error("{} is a zoned disk, which cannot hold a header", .0.display())]
    Zoned(PathBuf),
    /// The creation of the header's file was not confirmed.
    #[error("the creation of the header's file was not confirmed")]
    HeaderFileDeclined,
}
