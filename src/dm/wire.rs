//! The records behind the header of a request or a reply, read without trust: every length and every offset to the next
//! record is checked against the bytes that are there, and a list that goes backwards or round in circles ends in an
//! error.

use keyslots::secret::Secret;
use keyslots::units::Sectors;

use super::command::Version;
use super::device::ListEntry;
use super::names::{DeviceName, DeviceUuid};
use super::table::{TableText, TargetType};
use crate::block_device::DevNo;

/// `struct dm_target_spec`: its length, and where its fields are.
pub(super) const SPEC: usize = 40;
pub(super) const SPEC_START: usize = 0;
pub(super) const SPEC_LENGTH: usize = 8;
pub(super) const SPEC_NEXT: usize = 20;
pub(super) const SPEC_TYPE: usize = 24;
/// `struct dm_name_list` in front of the name: device, next.
pub(super) const NAME_LIST: usize = 12;
/// `struct dm_target_versions` in front of the name: next, version.
pub(super) const VERSIONS: usize = 16;

type Defect = &'static str;

const SHORT: Defect = "a record is cut off";
const LOOP: Defect = "the records do not go forward";

/// Four bytes as the machine orders them.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_ne_bytes(field.try_into().ok()?))
}

/// Eight bytes as the machine orders them.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(8)?)?;
    Some(u64::from_ne_bytes(field.try_into().ok()?))
}

/// The bytes before the first NUL; `None` without one.
pub(super) fn until_nul(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|b| *b == 0)?;
    Some(&bytes[..end])
}

/// The answer to [`super::ioctl::Command::List`].
pub(super) fn device_list(data: &[u8]) -> Result<Vec<ListEntry>, Defect> {
    // A record of a short name and a UUID is not much longer than its head.
    let mut entries = Vec::with_capacity(data.len() / (2 * NAME_LIST).next_multiple_of(8));
    let mut rest = data;
    // No devices: no data, or one record of zeros.
    if data.is_empty() {
        return Ok(entries);
    }
    loop {
        let dev = u64_at(rest, 0).ok_or(SHORT)?;
        let next = u32_at(rest, 8).ok_or(SHORT)? as usize;
        if dev == 0 && entries.is_empty() {
            return Ok(entries);
        }
        let record = if next == 0 {
            rest
        } else {
            rest.get(..next).ok_or(SHORT)?
        };
        let name = record
            .get(NAME_LIST..)
            .and_then(until_nul)
            .ok_or("a device name without an end")?;
        let behind = (NAME_LIST + name.len() + 1).next_multiple_of(8);
        let (event_nr, uuid) = list_extras(record.get(behind..).unwrap_or(&[]))?;
        entries.push(ListEntry {
            name: DeviceName::from_kernel(name).map_err(|_| "an invalid device name")?,
            number: DevNo::from_raw(dev),
            event_nr,
            uuid,
        });
        if next == 0 {
            return Ok(entries);
        }
        if next < NAME_LIST {
            return Err(LOOP);
        }
        rest = &rest[next..];
    }
}

/// Event number (interface 4.37) and UUID (4.45) behind a name. The flags that announce a UUID are zero, or the record
/// is over, where the kernel is older.
fn list_extras(bytes: &[u8]) -> Result<(Option<u32>, Option<Option<DeviceUuid>>), Defect> {
    const HAS_UUID: u32 = 1;
    const HAS_NO_UUID: u32 = 2;
    let event_nr = u32_at(bytes, 0);
    let uuid = match u32_at(bytes, 4) {
        Some(HAS_UUID) => {
            let uuid = bytes.get(8..).and_then(until_nul).ok_or("a UUID without an end")?;
            Some(Some(DeviceUuid::new(uuid).map_err(|_| "an invalid UUID")?))
        }
        Some(HAS_NO_UUID) => Some(None),
        _ => None,
    };
    Ok((event_nr, uuid))
}

/// The answer to [`super::ioctl::Command::Table`] and [`super::ioctl::Command::Status`]: `count` records, whose `next`
/// counts from the start of the data.
pub(super) fn table(data: &[u8], count: u32) -> Result<TableText, Defect> {
    let mut table = TableText::with_room(data.len()).map_err(|_| "no memory for the table")?;
    let mut at = 0;
    for i in 0..count {
        let spec = data.get(at..).ok_or(SHORT)?;
        let start = Sectors::new(u64_at(spec, SPEC_START).ok_or(SHORT)?);
        let length = Sectors::new(u64_at(spec, SPEC_LENGTH).ok_or(SHORT)?);
        let next = u32_at(spec, SPEC_NEXT).ok_or(SHORT)? as usize;
        let kind = spec.get(SPEC_TYPE..SPEC).ok_or(SHORT)?;
        let kind = TargetType::new(until_nul(kind).unwrap_or(kind)).map_err(|_| "an invalid target type")?;
        let end = if i + 1 == count { data.len() } else { next };
        let params = data
            .get(at + SPEC..end)
            .and_then(until_nul)
            .ok_or("target parameters without an end")?;
        table
            .push(start, length, kind, params)
            .map_err(|_| "no memory for the table")?;
        if i + 1 < count && next < at + SPEC {
            return Err(LOOP);
        }
        at = next;
    }
    Ok(table)
}

/// The input of [`super::ioctl::Command::Load`]: records whose `next` counts from each record's own start.
pub(super) fn encode_table(table: &TableText) -> std::io::Result<Secret> {
    let record = |params: &[u8]| (SPEC + params.len() + 1).next_multiple_of(8);
    let total = table.lines().map(|line| record(line.params)).sum();
    let mut payload = Secret::zeroed(total)?;
    let mut rest = payload.expose_mut();
    for line in table.lines() {
        let len = record(line.params);
        let (spec, tail) = rest.split_at_mut(len);
        spec[SPEC_START..SPEC_START + 8].copy_from_slice(&line.start.get().to_ne_bytes());
        spec[SPEC_LENGTH..SPEC_LENGTH + 8].copy_from_slice(&line.length.get().to_ne_bytes());
        let next = u32::try_from(len).map_err(|_| std::io::ErrorKind::InvalidInput)?;
        spec[SPEC_NEXT..SPEC_NEXT + 4].copy_from_slice(&next.to_ne_bytes());
        let kind = line.kind.as_bytes();
        spec[SPEC_TYPE..SPEC_TYPE + kind.len()].copy_from_slice(kind);
        spec[SPEC..SPEC + line.params.len()].copy_from_slice(line.params);
        rest = tail;
    }
    Ok(payload)
}

/// The answer to [`super::ioctl::Command::Deps`].
pub(super) fn deps(data: &[u8]) -> Result<Vec<DevNo>, Defect> {
    let count = u32_at(data, 0).ok_or(SHORT)? as usize;
    let devices = data.get(8..).ok_or(SHORT)?;
    if devices.len() / 8 < count {
        return Err("more dependencies than bytes");
    }
    Ok((0..count)
        .filter_map(|i| u64_at(devices, 8 * i))
        .map(DevNo::from_raw)
        .collect())
}

/// The answer to [`super::ioctl::Command::Targets`] and [`super::ioctl::Command::TargetVersion`].
pub(super) fn target_versions(data: &[u8]) -> Result<Vec<(TargetType, Version)>, Defect> {
    let mut versions = Vec::new();
    let mut rest = data;
    loop {
        let word = |offset| u32_at(rest, offset).ok_or(SHORT);
        let next = word(0)? as usize;
        let version = Version {
            major: word(4)?,
            minor: word(8)?,
            patch: word(12)?,
        };
        let record = if next == 0 {
            rest
        } else {
            rest.get(..next).ok_or(SHORT)?
        };
        let name = record
            .get(VERSIONS..)
            .and_then(until_nul)
            .ok_or("a target name without an end")?;
        versions.push((TargetType::new(name).map_err(|_| "an invalid target type")?, version));
        if next == 0 {
            return Ok(versions);
        }
        if next < VERSIONS {
            return Err(LOOP);
        }
        rest = &rest[next..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_record(dev: u64, next: u32, name: &str, extras: &[u8]) -> Vec<u8> {
        let mut record = dev.to_ne_bytes().to_vec();
        record.extend(next.to_ne_bytes());
        record.extend(name.as_bytes());
        record.push(0);
        record.resize(record.len().next_multiple_of(8), 0);
        record.extend(extras);
        record.resize(record.len().next_multiple_of(8), 0);
        record
    }

    fn extras(event: u32, flags: u32, uuid: &str) -> Vec<u8> {
        let mut bytes = event.to_ne_bytes().to_vec();
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(uuid.as_bytes());
        bytes.push(0);
        bytes
    }

    #[test]
    fn a_list_is_read_with_all_that_its_kernel_tells() {
        let with_uuid = extras(3, 1, "CRYPT-x");
        let len = list_record(0, 0, "one", &with_uuid).len() as u32;
        let mut data = list_record(0xfd00, len, "one", &with_uuid);
        let without_uuid = extras(4, 2, "");
        let len = list_record(0, 0, "two", &without_uuid).len() as u32;
        data.extend(list_record(0xfd01, len, "two", &without_uuid));
        data.extend(list_record(0xfd02, 0, "old", &[]));
        let entries = device_list(&data).expect("a good list");
        let names: Vec<_> = entries.iter().map(|e| e.name.to_string()).collect();
        assert_eq!(names, ["one", "two", "old"]);
        assert_eq!(entries[0].number, DevNo::new(253, 0));
        assert_eq!(entries[0].event_nr, Some(3));
        assert_eq!(entries[0].uuid, Some(Some(DeviceUuid::new("CRYPT-x").expect("a UUID"))));
        assert_eq!((entries[1].event_nr, &entries[1].uuid), (Some(4), &Some(None)));
        assert_eq!((entries[2].event_nr, &entries[2].uuid), (None, &None));
        assert_eq!(device_list(&[0; 16]), Ok(vec![]));
        assert_eq!(device_list(&[]), Ok(vec![]));
    }

    #[test]
    fn hostile_lists_end_in_an_error() {
        assert!(device_list(&[0; 11]).is_err());
        assert!(device_list(&list_record(1, 8, "loop", &[])).is_err());
        assert!(device_list(&list_record(1, 4, "loop", &[])).is_err());
        assert!(device_list(&list_record(1, u32::MAX, "far", &[])).is_err());
        assert!(device_list(&list_record(1, 0, "", &[])).is_err());
        assert!(device_list(&list_record(1, 0, &"n".repeat(128), &[])).is_err());
        let mut endless = list_record(1, 0, "name", &[]);
        endless[NAME_LIST..].fill(b'a');
        assert!(device_list(&endless).is_err());
        let mut uuid = list_record(1, 0, "name", &extras(0, 1, "u"));
        let end = uuid.len();
        uuid[end - 8..].fill(b'u');
        assert!(device_list(&uuid).is_err());
    }

    fn spec(start: u64, length: u64, next: u32, kind: &str, params: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; SPEC];
        bytes[0..8].copy_from_slice(&start.to_ne_bytes());
        bytes[8..16].copy_from_slice(&length.to_ne_bytes());
        bytes[20..24].copy_from_slice(&next.to_ne_bytes());
        bytes[24..24 + kind.len()].copy_from_slice(kind.as_bytes());
        bytes.extend(params);
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn a_table_is_read_line_by_line() {
        let first = spec(0, 8, 56, "linear", b"8:0 0");
        assert_eq!(first.len(), 48);
        let mut data = spec(0, 8, 48, "linear", b"8:0 0");
        data.extend(spec(8, 16, 96, "error", b""));
        let read = table(&data, 2).expect("a good table");
        let lines: Vec<_> = read
            .lines()
            .map(|l| (l.start.get(), l.length.get(), l.kind.to_string(), l.params))
            .collect();
        assert_eq!(lines[0], (0, 8, "linear".to_owned(), &b"8:0 0"[..]));
        assert_eq!(lines[1], (8, 16, "error".to_owned(), &b""[..]));
        assert_eq!(table(&[], 0).expect("no targets").lines().count(), 0);
    }

    #[test]
    fn hostile_tables_end_in_an_error() {
        let with_next = |next| spec(0, 8, next, "linear", b"8:0 0");
        assert!(table(&with_next(0), 2).is_err());
        assert!(table(&with_next(8), 2).is_err());
        assert!(table(&with_next(u32::MAX), 2).is_err());
        assert!(table(&with_next(48), 2).is_err());
        assert!(table(&[0; SPEC - 1], 1).is_err());
        let mut endless = with_next(0);
        endless[SPEC..].fill(b'a');
        assert!(table(&endless, 1).is_err());
        assert!(table(&spec(0, 8, 0, "", b""), 1).is_err());
    }

    #[test]
    fn an_encoded_table_has_records_of_eight_bytes_each_pointing_to_the_next() {
        let mut text = TableText::with_room(0).expect("memory");
        let kind = |name: &str| TargetType::new(name.as_bytes()).expect("a type");
        text.push(Sectors::new(0), Sectors::new(8), kind("linear"), b"8:0 0")
            .expect("memory");
        text.push(Sectors::new(8), Sectors::new(8), kind("zero"), b"")
            .expect("memory");
        let payload = encode_table(&text).expect("memory");
        let mut expected = spec(0, 8, 48, "linear", b"8:0 0");
        expected.extend(spec(8, 8, 48, "zero", b""));
        assert_eq!(payload.expose(), expected);
    }

    #[test]
    fn dependencies_are_no_more_than_their_bytes() {
        let mut data = 2_u32.to_ne_bytes().to_vec();
        data.extend([0; 4]);
        data.extend(0x801_u64.to_ne_bytes());
        assert!(deps(&data).is_err());
        data.extend(0x700_u64.to_ne_bytes());
        assert_eq!(deps(&data), Ok(vec![DevNo::new(8, 1), DevNo::new(7, 0)]));
        data[0..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(deps(&data).is_err());
    }

    #[test]
    fn versions_of_targets() {
        let record = |next: u32, name: &[u8]| {
            let mut bytes: Vec<u8> = [next, 1, 24, 0].iter().flat_map(|n| n.to_ne_bytes()).collect();
            bytes.extend(name);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes
        };
        let mut data = record(24, b"crypt\0");
        data.extend(record(0, b"linear\0"));
        let versions = target_versions(&data).expect("good versions");
        assert_eq!(versions[0].0.to_string(), "crypt");
        assert_eq!(
            versions[1].1,
            Version {
                major: 1,
                minor: 24,
                patch: 0
            }
        );
        assert!(target_versions(&record(4, b"crypt\0")).is_err());
        assert!(target_versions(&record(999, b"crypt\0")).is_err());
        assert!(target_versions(&record(0, b"nonul!!!")).is_err());
    }
}
