//! The partitions of a disk according to its own table, on a device and in an image alike: a GPT, either copy of it, or a
//! DOS table with its logical partitions.

use std::collections::BTreeSet;

use keyslots::storage::Storage;
use keyslots::units::Bytes;

/// More than these are not read: no table has them.
const MOST: usize = 256;

/// The kinds of partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// A GUID partition table.
    Gpt,
    /// A DOS partition table.
    Dos,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub number: u32,
    /// Its start in bytes.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// The table of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its kind.
    pub kind: TableKind,
    /// The size of the sectors that it counts in.
    pub sector: u64,
    /// Its partitions, by their starts.
    pub partitions: Vec<Partition>,
}

impl Table {
    /// Reads the table; `None` where there is none.
    pub(super) fn read(disk: &mut dyn Storage) -> Option<Self> {
        let size = disk.size().ok()?.get();
        for sector in [512, 4096] {
            let last = (size / sector).checked_sub(1)? * sector;
            for header in [sector, last] {
                if let Some(partitions) = gpt(disk, header, sector, size) {
                    return Some(Self::new(TableKind::Gpt, sector, partitions));
                }
            }
        }
        Some(Self::new(TableKind::Dos, 512, dos(disk, size)?))
    }

    fn new(kind: TableKind, sector: u64, mut partitions: Vec<Partition>) -> Self {
        partitions.sort_by_key(|partition| partition.start);
        Self {
            kind,
            sector,
            partitions,
        }
    }

    /// The partition that starts here.
    pub fn at(&self, start: u64) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.start == start)
    }

    /// The partition that this place is in.
    pub fn around(&self, at: u64) -> Option<&Partition> {
        self.partitions
            .iter()
            .find(|partition| partition.start <= at && at - partition.start < partition.size)
    }
}

fn read(disk: &mut dyn Storage, at: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    disk.read_at(Bytes::new(at), &mut bytes).ok()?;
    Some(bytes)
}

fn le(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let field = bytes.get(at..at + len)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

/// UEFI 2.10, 5.3.2 and 5.3.3. Its checksums are not checked: a table that was damaged tells more than none.
fn gpt(disk: &mut dyn Storage, at: u64, sector: u64, size: u64) -> Option<Vec<Partition>> {
    let header = read(disk, at, 92).filter(|header| header.starts_with(b"EFI PART"))?;
    let (first, count, len) = (le(&header, 72, 8)?, le(&header, 80, 4)?, le(&header, 84, 4)?);
    if !(128..=4096).contains(&len) {
        return None;
    }
    let entries = first.checked_mul(sector)?;
    let mut found = Vec::new();
    for n in 0..count.min(MOST as u64) {
        let Some(entry) = read(disk, entries.checked_add(n * len)?, 48) else {
            break;
        };
        if entry[..16] == [0; 16] {
            continue;
        }
        let (start, end) = (
            le(&entry, 32, 8)?.checked_mul(sector),
            le(&entry, 40, 8)?.checked_add(1)?.checked_mul(sector),
        );
        if let (Some(start), Some(end)) = (start, end)
            && start < end
            && start < size
        {
            found.push(Partition {
                number: n as u32 + 1,
                start,
                size: end - start,
            });
        }
    }
    Some(found)
}

fn dos(disk: &mut dyn Storage, size: u64) -> Option<Vec<Partition>> {
    let boot = read(disk, 0, 512).filter(|boot| boot[510..] == [0x55, 0xaa])?;
    // A boot sector of a file system has the same signature: no entry there begins with 0 or 0x80 four times.
    let entry = |boot: &[u8], n: usize| -> Option<(u8, u64, u64)> {
        let entry = boot.get(446 + 16 * n..)?.get(..16)?;
        matches!(entry[0], 0 | 0x80).then_some((entry[4], le(entry, 8, 4)? * 512, le(entry, 12, 4)? * 512))
    };
    let entries: Vec<_> = (0..4).map(|n| entry(&boot, n)).collect::<Option<_>>()?;
    let mut found = Vec::new();
    for (n, (kind, start, length)) in (1..).zip(entries) {
        if kind == 0 || length == 0 || start == 0 || start >= size {
            continue;
        }
        match kind {
            0x05 | 0x0f | 0x85 => found.extend(logical(disk, start, &entry)),
            // The table of a GPT whose own was lost.
            0xee => {}
            _ => found.push(Partition {
                number: n,
                start,
                size: length,
            }),
        }
    }
    (!found.is_empty()).then_some(found)
}

type Entry<'a> = &'a dyn Fn(&[u8], usize) -> Option<(u8, u64, u64)>;

/// A chain of tables of two entries: a partition, and the next table.
fn logical(disk: &mut dyn Storage, extended: u64, entry: Entry<'_>) -> Vec<Partition> {
    let (mut found, mut seen, mut at) = (Vec::new(), BTreeSet::new(), extended);
    while found.len() < MOST && seen.insert(at) {
        let Some(table) = read(disk, at, 512).filter(|table| table[510..] == [0x55, 0xaa]) else {
            break;
        };
        let (Some((kind, start, size)), Some((next_kind, next, _))) = (entry(&table, 0), entry(&table, 1)) else {
            break;
        };
        if kind != 0
            && size > 0
            && let Some(start) = at.checked_add(start)
        {
            found.push(Partition {
                number: 5 + found.len() as u32,
                start,
                size,
            });
        }
        match extended.checked_add(next) {
            Some(next) if next_kind != 0 => at = next,
            _ => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslots::storage::Memory;

    fn dos_entry(table: &mut [u8], n: usize, kind: u8, start: u32, size: u32) {
        let entry = &mut table[446 + 16 * n..][..16];
        entry[4] = kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&size.to_le_bytes());
        table[510..512].copy_from_slice(&[0x55, 0xaa]);
    }

    #[test]
    fn a_chain_of_logical_partitions_ends() {
        let mut disk = Memory::zeroed(1 << 20);
        dos_entry(&mut disk.0, 0, 0x83, 8, 100);
        dos_entry(&mut disk.0, 1, 0x05, 200, 1000);
        dos_entry(&mut disk.0[200 * 512..], 0, 0x83, 4, 50);
        dos_entry(&mut disk.0[200 * 512..], 1, 0x05, 300, 100);
        dos_entry(&mut disk.0[500 * 512..], 0, 0x83, 4, 50);
        // Back to the first.
        dos_entry(&mut disk.0[500 * 512..], 1, 0x05, 0, 100);
        let table = Table::read(&mut disk).expect("a table");
        assert_eq!(table.kind, TableKind::Dos);
        let found: Vec<_> = table
            .partitions
            .iter()
            .map(|part| (part.number, part.start / 512, part.size / 512))
            .collect();
        assert_eq!(found, [(1, 8, 100), (5, 204, 50), (6, 504, 50)]);
        assert_eq!(table.at(8 * 512).map(|part| part.number), Some(1));
        assert_eq!(table.around(107 * 512).map(|part| part.number), Some(1));
        assert_eq!(table.around(108 * 512), None);
    }

    #[test]
    fn no_table_is_none() {
        for size in [0, 100, 512, 4096, 1 << 20] {
            assert_eq!(Table::read(&mut Memory::zeroed(size)), None);
            assert_eq!(Table::read(&mut Memory(vec![0xff; size])), None);
        }
    }
}
