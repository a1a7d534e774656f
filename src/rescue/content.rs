//! What a header describes, as it is on the disk: the key material of its keyslots and its data. Encrypted, both look like
//! noise; nothing that was written over them does.

use std::ops::Range;

use keyslots::KeyslotId;
use keyslots::header::Header;
use keyslots::storage::Storage;
use keyslots::units::{Bytes, Sectors};

use super::looks::{Looks, Part, parts};
use super::window::Window;
use crate::block_device::signatures;

/// Parts of a keyslot that are described.
const MOST_PARTS: usize = 8;
/// Places in the data that are looked at, and how much there.
const SAMPLES: u64 = 8;
const SAMPLE: u64 = 64 * 1024;

/// A keyslot and its key material.
#[derive(Clone, Debug)]
pub struct KeyslotState {
    /// Its number.
    pub slot: KeyslotId,
    /// Whether it holds the key of the data.
    pub is_for_data: bool,
    /// Its key material, from the start of the header.
    pub material: Range<u64>,
    /// Blocks of it that are not random.
    pub bad_blocks: usize,
    /// What is there instead.
    pub damage: Vec<Part>,
    /// Whether parts cannot be read.
    pub unreadable: bool,
}

impl KeyslotState {
    /// Whether all of it looks as key material does.
    pub fn is_intact(&self) -> bool {
        self.bad_blocks == 0 && !self.unreadable
    }
}

/// The keyslots of a header.
pub(super) fn keyslots(header: &Header, storage: &mut dyn Storage) -> Vec<KeyslotState> {
    let suspects = header.suspect_keyslots(storage).unwrap_or_default();
    let mut found = Vec::new();
    for (slot, material, is_for_data) in materials(header) {
        let suspect = suspects.iter().find(|suspect| suspect.slot == slot);
        let mut damage = Vec::new();
        if suspect.is_some() {
            damage = parts(storage, material.clone(), usize::MAX);
            damage.retain(|part| part.looks != Looks::Random);
            damage.truncate(MOST_PARTS);
        }
        found.push(KeyslotState {
            slot,
            is_for_data,
            material,
            bad_blocks: suspect.map_or(0, |suspect| suspect.offsets.len()),
            damage,
            unreadable: suspect.is_some_and(|suspect| suspect.unreadable),
        });
    }
    found
}

/// The keyslots that a passphrase opens: where their key material is, and whether the key is that of the data.
fn materials(header: &Header) -> Vec<(KeyslotId, Range<u64>, bool)> {
    const STRIPES: u64 = 4000;
    match header {
        Header::Luks1(header) => {
            let start = |slot: KeyslotId| Some(header.keyslot(slot)?.material_offset.bytes()?.get());
            let slots = header.active_keyslots();
            slots
                .filter_map(|slot| {
                    Some((
                        slot,
                        start(slot)?..start(slot)? + header.key_size().get() * STRIPES,
                        true,
                    ))
                })
                .collect()
        }
        Header::Luks2(header) => {
            let metadata = header.metadata();
            let keys = metadata.keyslots.iter().filter(|(_, keyslot)| keyslot.is_luks2());
            keys.map(|(slot, keyslot)| {
                let start = keyslot.area.offset.get();
                // Validation has checked that it lies in the keyslots area.
                let end = start + u64::from(keyslot.key_size) * STRIPES;
                (*slot, start..end, metadata.data_digest_of_keyslot(*slot).is_some())
            })
            .collect()
        }
    }
}

/// The data of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Its place, from the start of the header.
    pub range: Range<u64>,
    /// Whether its size is that of the device.
    pub is_dynamic: bool,
    /// What it looks like.
    pub looks: DataLooks,
    /// Bytes that the device lacks.
    pub missing: u64,
}

/// What the data look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataLooks {
    /// Encrypted.
    Encrypted,
    /// Nothing was written there yet, or it was discarded.
    Blank,
    /// There are others at the start: a format of this name.
    Holds(&'static str),
    /// Not encrypted.
    Plain,
    /// On another device than the header.
    Elsewhere,
    /// Past the end of the device.
    Missing,
}

/// Looks at samples of the data behind a header on a device of `len` bytes.
pub(super) fn data(header: &Header, window: &mut Window<'_>, len: u64) -> Option<Data> {
    let layout = header.data()?;
    let start = layout.offset.bytes()?.get();
    let size = layout.size.and_then(Sectors::bytes).map(Bytes::get);
    let end = size.map_or(Some(len), |size| start.checked_add(size))?;
    let mut data = Data {
        range: start..end.max(start),
        is_dynamic: size.is_none(),
        looks: DataLooks::Elsewhere,
        missing: end.max(start).saturating_sub(len),
    };
    // A detached header, and the backup of one, end where they end.
    if start == 0 || len == start || len == header.size().get() {
        data.missing = 0;
        return Some(data);
    }
    let there = start..end.min(len);
    data.looks = if there.start >= there.end {
        DataLooks::Missing
    } else {
        sample(window, there)
    };
    Some(data)
}

fn sample(window: &mut Window<'_>, range: Range<u64>) -> DataLooks {
    let length = range.end - range.start;
    let mut behind = Window::new(window, range.start, length);
    let others = signatures::probe_readable(&mut behind).unwrap_or_default();
    let first = others.iter().find(|other| other.offset.get() < 128 * 1024);
    if let Some(other) = first.filter(|other| other.name != "crypto_LUKS") {
        return DataLooks::Holds(other.name);
    }
    let (mut random, mut blank, mut others) = (0, 0, 0);
    for n in 0..SAMPLES {
        let start = (length / SAMPLES * n) / 512 * 512;
        for part in parts(&mut behind, start..(start + SAMPLE).min(length), usize::MAX) {
            let len = part.range.end - part.range.start;
            match part.looks {
                Looks::Random => random += len,
                Looks::Zeros | Looks::OneByte => blank += len,
                _ => others += len,
            }
        }
    }
    match () {
        () if random == 0 && others == 0 && blank > 0 => DataLooks::Blank,
        () if random > others.saturating_mul(9) => DataLooks::Encrypted,
        () => DataLooks::Plain,
    }
}
