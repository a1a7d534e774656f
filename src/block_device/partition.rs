//! The names that a partition table gives a partition: UUID and name in a GPT, the disk's number and its own in a DOS
//! table.

use std::fs;
use std::io;

use keyslots::storage::Storage;
use keyslots::units::Bytes;

use super::signatures::uuid_text;
use super::{DevNo, Probe};

/// The names of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionNames {
    /// `PARTUUID`, in lower case.
    pub uuid: Option<String>,
    /// `PARTLABEL`.
    pub label: Option<String>,
}

/// The names of a partition; none if the device is not a partition, or its disk cannot be read.
pub fn partition_names(number: DevNo) -> PartitionNames {
    let read = || -> Option<PartitionNames> {
        let sysfs = number.sysfs();
        let index: u32 = fs::read_to_string(sysfs.join("partition")).ok()?.trim().parse().ok()?;
        let disk: DevNo = fs::read_to_string(sysfs.join("../dev")).ok()?.trim().parse().ok()?;
        let sector = fs::read_to_string(sysfs.join("../queue/logical_block_size")).ok();
        let sector = sector.and_then(|size| size.trim().parse().ok()).unwrap_or(512);
        let mut disk = Probe::open(disk).ok()?;
        names_in(&mut disk, sector, index).ok()
    };
    read().unwrap_or_default()
}

/// The names of partition `index` (counted from 1) in the table on `disk`, whose sectors have `sector` bytes.
///
/// # Errors
/// The system's, where the disk cannot be read.
fn names_in(disk: &mut dyn Storage, sector: u32, index: u32) -> io::Result<PartitionNames> {
    let size = disk.size()?.get();
    let mut read = |offset: u64, len: usize| -> io::Result<Option<Vec<u8>>> {
        if offset.checked_add(len as u64).is_none_or(|end| end > size) {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        disk.read_at(Bytes::new(offset), &mut bytes)?;
        Ok(Some(bytes))
    };
    let sector = u64::from(sector);
    let header = read(sector, 92)?.filter(|header| header.starts_with(b"EFI PART"));
    if let Some(header) = header {
        let (first, count, len) = (le64(&header, 72), le32(&header, 80), le32(&header, 84));
        // Entries have 128 bytes, or a power of two times that; and index 0 is not a partition.
        let place = index
            .checked_sub(1)
            .filter(|at| *at < count && (128..=4096).contains(&len));
        let offset = place.and_then(|at| {
            let start = first.checked_mul(sector)?;
            start.checked_add(u64::from(at) * u64::from(len))
        });
        let entry = offset.map(|offset| read(offset, 128)).transpose()?.flatten();
        return Ok(entry.map(|entry| gpt_entry(&entry)).unwrap_or_default());
    }
    let boot = read(0, 512)?.filter(|boot| boot[510..] == [0x55, 0xaa]);
    let disk_number = boot.map(|boot| le32(&boot, 440)).filter(|number| *number != 0);
    Ok(PartitionNames {
        uuid: disk_number.map(|number| format!("{number:08x}-{index:02x}")),
        label: None,
    })
}

/// UEFI 2.10, 5.3.3: the unique GUID at 16, the name in UTF-16 at 56. The first three parts of a GUID are little-endian.
fn gpt_entry(entry: &[u8]) -> PartitionNames {
    let Some(mut guid) = entry.get(16..32).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()) else {
        return PartitionNames::default();
    };
    guid[..4].reverse();
    guid[4..6].reverse();
    guid[6..8].reverse();
    let letters = entry[56..128]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let label: String = char::decode_utf16(letters.take_while(|letter| *letter != 0))
        .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    PartitionNames {
        uuid: (guid != [0; 16]).then(|| uuid_text(&guid)),
        label: (!label.is_empty()).then_some(label),
    }
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslots::storage::Memory;

    fn gpt(sector: usize, count: u32, entry_len: u32) -> Memory {
        let mut disk = Memory::zeroed(1 << 20);
        disk.0[sector..sector + 8].copy_from_slice(b"EFI PART");
        disk.0[sector + 72..sector + 80].copy_from_slice(&2_u64.to_le_bytes());
        disk.0[sector + 80..sector + 84].copy_from_slice(&count.to_le_bytes());
        disk.0[sector + 84..sector + 88].copy_from_slice(&entry_len.to_le_bytes());
        let entry = 2 * sector + entry_len as usize % 4096;
        disk.0[entry + 16..entry + 32]
            .copy_from_slice(b"\x67\x45\x23\x01\xab\x89\xef\xcd\x01\x23\x45\x67\x89\xab\xcd\xef");
        for (at, letter) in "Wurzel ✓".encode_utf16().enumerate() {
            disk.0[entry + 56 + 2 * at..][..2].copy_from_slice(&letter.to_le_bytes());
        }
        disk
    }

    #[test]
    fn a_gpt_names_its_partitions() {
        let expected = PartitionNames {
            uuid: Some("01234567-89ab-cdef-0123-456789abcdef".into()),
            label: Some("Wurzel ✓".into()),
        };
        for sector in [512, 4096] {
            let mut disk = gpt(sector, 128, 128);
            assert_eq!(names_in(&mut disk, sector as u32, 2).expect("read"), expected);
            assert_eq!(
                names_in(&mut disk, sector as u32, 1).expect("read"),
                PartitionNames::default()
            );
        }
    }

    #[test]
    fn a_hostile_table_names_nothing() {
        for (count, len, index) in [
            (1, 128, 2),
            (128, 0, 2),
            (128, u32::MAX, 2),
            (u32::MAX, 4096, u32::MAX),
            (128, 128, 0),
        ] {
            let mut disk = gpt(512, count, 128);
            disk.0[512 + 84..512 + 88].copy_from_slice(&len.to_le_bytes());
            assert_eq!(
                names_in(&mut disk, 512, index).expect("read"),
                PartitionNames::default(),
                "{count} {len} {index}"
            );
        }
        let mut disk = gpt(512, 128, 128);
        disk.0[512 + 72..512 + 80].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(names_in(&mut disk, 512, 1).expect("read"), PartitionNames::default());
        for size in [0, 511, 512, 600] {
            assert_eq!(
                names_in(&mut Memory::zeroed(size), 512, 1).expect("read"),
                PartitionNames::default()
            );
        }
    }

    #[test]
    fn a_dos_table_has_one_number_for_all() {
        let mut disk = Memory::zeroed(4096);
        disk.0[440..444].copy_from_slice(&0x00c0_ffee_u32.to_le_bytes());
        disk.0[510..512].copy_from_slice(&[0x55, 0xaa]);
        let names = names_in(&mut disk, 512, 5).expect("read");
        assert_eq!(names.uuid.as_deref(), Some("00c0ffee-05"));
    }
}
