//! Thin provisioning: thin-pool, thin.

use super::record::{Fill, Unit, record};
use super::words::Words;
use crate::dm::table::DeviceRef;

record!(Pool {
    metadata_device: DeviceRef,
    data_device: DeviceRef,
    block_sectors: u64,
    low_water_blocks: u64,
    features: Vec<String>,
});

record!(PoolState {
    transaction_id: u64,
    metadata: Fill,
    data: Fill,
    held_metadata_root_block: Option<u64>,
    mode: Option<String>,
    discards: Option<String>,
    when_full: Option<String>,
    needs_check: Option<bool>,
    metadata_low_water_blocks: Option<u64>,
});

record!(Thin {
    pool_device: DeviceRef,
    device_id: u64,
    external_origin_device: Option<DeviceRef>,
});

record!(ThinState {
    data: Fill,
    highest_mapped_sector: Option<u64>,
});

impl Pool {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            metadata_device: words.device()?,
            data_device: words.device()?,
            block_sectors: words.number()?,
            low_water_blocks: words.number()?,
            features: words.list()?,
        })
    }
}

impl PoolState {
    pub(super) fn read(words: &mut Words<'_>, table: Option<&Pool>) -> Option<Self> {
        let block = table.and_then(|table| table.block_sectors.checked_mul(512));
        let mut state = Self {
            transaction_id: words.number()?,
            metadata: Fill::new(words.ratio()?, Unit::blocks(None)),
            data: Fill::new(words.ratio()?, Unit::blocks(block)),
            held_metadata_root_block: words.number_or_none()?,
            mode: None,
            discards: None,
            when_full: None,
            needs_check: None,
            metadata_low_water_blocks: None,
        };
        // Each kernel has more of these than the one before, in an order that changed.
        while let Some(word) = words.peek() {
            let field = match word {
                "rw" | "ro" | "out_of_data_space" => &mut state.mode,
                "discard_passdown" | "no_discard_passdown" | "ignore_discard" => &mut state.discards,
                "queue_if_no_space" | "error_if_no_space" => &mut state.when_full,
                "needs_check" | "-" if state.needs_check.is_none() => {
                    state.needs_check = Some(word == "needs_check");
                    words.word();
                    continue;
                }
                _ if state.metadata_low_water_blocks.is_none() => {
                    state.metadata_low_water_blocks = words.number();
                    match state.metadata_low_water_blocks {
                        Some(_) => continue,
                        None => break,
                    }
                }
                _ => break,
            };
            if field.is_some() {
                break;
            }
            *field = words.text();
        }
        Some(state)
    }
}

impl Thin {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            pool_device: words.device()?,
            device_id: words.number()?,
            external_origin_device: words.device(),
        })
    }
}

impl ThinState {
    /// `length` is the target's.
    pub(super) fn read(words: &mut Words<'_>, length: u64) -> Option<Self> {
        Some(Self {
            data: Fill::new((words.number()?, length), Unit::SECTORS),
            // `-` if nothing is mapped.
            highest_mapped_sector: words.number_or_none()?,
        })
    }
}
