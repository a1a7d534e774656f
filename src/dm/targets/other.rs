//! Targets with metadata of their own: era, clone, vdo, zoned.

use super::cache::{metadata_mode, sized_blocks};
use super::record::{Fill, Unit, record};
use super::words::Words;
use crate::dm::table::DeviceRef;

record!(Era {
    metadata_device: DeviceRef,
    origin_device: DeviceRef,
    block_sectors: u64,
});

record!(EraState {
    metadata: Fill,
    current_era: u64,
    held_metadata_root_block: Option<u64>,
});

record!(CloneOf {
    metadata_device: DeviceRef,
    destination_device: DeviceRef,
    source_device: DeviceRef,
    region_sectors: u64,
    features: Vec<String>,
    core_arguments: Vec<String>,
});

record!(CloneState {
    metadata: Fill,
    copy: Fill,
    hydrating_regions: u64,
    features: Vec<String>,
    core_arguments: Vec<String>,
    metadata_mode: Option<String>,
});

record!(Vdo {
    storage_device: DeviceRef,
    storage_blocks: u64,
    minimum_io_bytes: u64,
    block_map_cache_blocks: u64,
    block_map_era_length: u64,
    options: Vec<String>,
});

record!(VdoState {
    volume: String,
    mode: String,
    in_recovery: bool,
    index_state: String,
    compression: String,
    data: Fill,
});

record!(Zoned {
    devices: Vec<DeviceRef>,
});

record!(ZonedState {
    zone_count: u64,
    groups: Vec<Zones>,
});

record!(Zones {
    kind: String,
    unmapped_zones: u64,
    total_zones: u64,
});

impl Era {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            metadata_device: words.device()?,
            origin_device: words.device()?,
            block_sectors: words.number()?,
        })
    }
}

impl EraState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            metadata: sized_blocks(words, "blocks")?,
            current_era: words.number()?,
            held_metadata_root_block: words.number_or_none()?,
        })
    }
}

impl CloneOf {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            metadata_device: words.device()?,
            destination_device: words.device()?,
            source_device: words.device()?,
            region_sectors: words.number()?,
            features: words.list()?,
            core_arguments: words.list()?,
        })
    }
}

impl CloneState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            metadata: sized_blocks(words, "blocks")?,
            copy: sized_blocks(words, "regions")?,
            hydrating_regions: words.number()?,
            features: words.list()?,
            core_arguments: words.list()?,
            metadata_mode: metadata_mode(words),
        })
    }
}

/// The size of a block of vdo.
const VDO_BLOCK: u64 = 4096;

impl Vdo {
    /// The form of the kernel's own target, which calls itself V4.
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        words.is("V4").then_some(())?;
        let mut table = Self {
            storage_device: words.device()?,
            storage_blocks: words.number()?,
            minimum_io_bytes: words.number()?,
            block_map_cache_blocks: words.number()?,
            block_map_era_length: words.number()?,
            options: Vec::new(),
        };
        table.options.extend(std::iter::from_fn(|| words.text()));
        Some(table)
    }
}

impl VdoState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let volume = words.text()?;
        let mode = words.text()?;
        let in_recovery = words.maybe(|word| match word {
            "recovering" => Some(true),
            "-" => Some(false),
            _ => None,
        })?;
        let (index_state, compression) = (words.text()?, words.text()?);
        let blocks = (words.number()?, words.number()?);
        Some(Self {
            volume,
            mode,
            in_recovery,
            index_state,
            compression,
            data: Fill::new(blocks, Unit::blocks(Some(VDO_BLOCK))),
        })
    }
}

impl Zoned {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let devices: Vec<_> = std::iter::from_fn(|| words.device()).collect();
        (!devices.is_empty()).then_some(Self { devices })
    }
}

impl ZonedState {
    /// `<n> zones [<unmapped>/<total> cache] [<unmapped>/<total> random <unmapped>/<total> sequential]…`
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let zone_count = words.number()?;
        words.is("zones").then_some(())?;
        let mut groups = Vec::new();
        while let Some((unmapped_zones, total_zones)) = words.ratio() {
            groups.push(Zones {
                kind: words.text()?,
                unmapped_zones,
                total_zones,
            });
        }
        Some(Self { zone_count, groups })
    }
}
