//! The identity of a device: the UUID and the label of its contents, as `blkid` prints them, read without udev.
//!
//! Only formats by which a user names a volume, a key device or a root have names here; the table of formats is in
//! [`super::table`].

use std::io;

use keyslots::storage::Storage;

use super::Image;
use super::table::MAGICS;

/// The names of a device's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The format, as `blkid` prints its `TYPE`.
    pub kind: &'static str,
    /// The UUID, in lower case.
    pub uuid: Option<String>,
    /// The label.
    pub label: Option<String>,
}

/// UUID and label.
pub(super) type Names = (Option<String>, Option<String>);

/// Reads the names that a format stores; `None` if it is not that format after all.
pub(super) type ReadNames = fn(&mut Image<'_>) -> io::Result<Option<Names>>;

/// Reads the names of a storage's contents; `None` if the format is unknown here.
///
/// # Errors
/// The system's, where it cannot be read.
pub fn identify(storage: &mut dyn Storage) -> io::Result<Option<Identity>> {
    let mut image = Image::unread(storage)?;
    for magic in MAGICS {
        let Some(names) = magic.names else { continue };
        for offset in magic.place.offsets(image.size) {
            let Some(kind) = magic.found_at(&mut image, offset)? else {
                continue;
            };
            if let Some((uuid, label)) = names(&mut image)? {
                return Ok(Some(Identity {
                    kind,
                    uuid: uuid.map(|uuid| uuid.to_ascii_lowercase()),
                    label,
                }));
            }
        }
    }
    Ok(None)
}

pub(super) fn luks(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(match image.at(6, 2)?.as_deref() {
        Some([0, 1]) => Some((image.text(168, 40)?, None)),
        Some([0, 2]) => Some((image.text(168, 40)?, image.text(24, 48)?)),
        _ => None,
    })
}

pub(super) fn ext(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.uuid(1128)?, image.text(1144, 16)?)))
}

pub(super) fn xfs(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.uuid(32)?, image.text(108, 12)?)))
}

pub(super) fn btrfs(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.uuid(0x1_0020)?, image.text(0x1_012b, 256)?)))
}

pub(super) fn fat32(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.fat_serial(67)?, image.fat_label(71)?)))
}

pub(super) fn fat16(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.fat_serial(39)?, image.fat_label(43)?)))
}

pub(super) fn exfat(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.fat_serial(100)?, None)))
}

pub(super) fn ntfs(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.ntfs_serial(72)?, None)))
}

pub(super) fn swap(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.uuid(1036)?, image.text(1052, 16)?)))
}

pub(super) fn iso9660(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((None, image.text(0x8028, 32)?)))
}

pub(super) fn lvm2(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.lvm(512)?, None)))
}

pub(super) fn f2fs(image: &mut Image<'_>) -> io::Result<Option<Names>> {
    Ok(Some((image.uuid(1132)?, None)))
}

impl Image<'_> {
    /// A text up to its NUL or trailing blanks; `None` if it is empty.
    fn text(&mut self, offset: u64, len: usize) -> io::Result<Option<String>> {
        let bytes = self.at(offset, len)?.unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(len.min(bytes.len()));
        let text = String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned();
        Ok((!text.is_empty()).then_some(text))
    }

    fn uuid(&mut self, offset: u64) -> io::Result<Option<String>> {
        let bytes = self.at(offset, 16)?.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        Ok(bytes.filter(|bytes| *bytes != [0; 16]).map(|bytes| uuid_text(&bytes)))
    }

    /// The serial number of a FAT volume: four bytes, little-endian.
    fn fat_serial(&mut self, offset: u64) -> io::Result<Option<String>> {
        let bytes = self.at(offset, 4)?.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let number = bytes.map(u32::from_le_bytes).filter(|number| *number != 0);
        Ok(number.map(|number| format!("{:04x}-{:04x}", number >> 16, number & 0xffff)))
    }

    fn fat_label(&mut self, offset: u64) -> io::Result<Option<String>> {
        Ok(self.text(offset, 11)?.filter(|label| label != "NO NAME"))
    }

    /// The serial number of an NTFS volume: eight bytes, little-endian.
    fn ntfs_serial(&mut self, offset: u64) -> io::Result<Option<String>> {
        let bytes = self.at(offset, 8)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        let number = bytes.map(u64::from_le_bytes).filter(|number| *number != 0);
        Ok(number.map(|number| format!("{number:016x}")))
    }

    /// The identifier of a physical volume: 32 letters behind the label header, written in groups. It is the only UUID
    /// that is case-sensitive; it is compared without case, as no two of one machine differ by that alone.
    fn lvm(&mut self, sector: u64) -> io::Result<Option<String>> {
        let text = self
            .text(sector + 32, 32)?
            .filter(|text| text.len() == 32 && text.is_ascii());
        Ok(text.map(|text| {
            let groups = [0..6, 6..10, 10..14, 14..18, 18..22, 22..26, 26..32];
            groups.map(|group| text[group].to_owned()).join("-")
        }))
    }
}

/// A UUID of sixteen bytes in their order, as text.
pub(in super::super) fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslots::storage::Memory;

    fn identity(parts: &[(usize, &[u8])]) -> Option<Identity> {
        let mut memory = Memory::zeroed(1 << 20);
        for (offset, bytes) in parts {
            memory.0[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        identify(&mut memory).expect("memory can be read")
    }

    const BYTES: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    type Case<'a> = (&'a str, &'a [(usize, &'a [u8])], Option<&'a str>, Option<&'a str>);

    #[test]
    fn each_format_tells_its_names() {
        let cases: [Case; 9] = [
            (
                "crypto_LUKS",
                &[(0, b"LUKS\xba\xbe\0\x01"), (168, UUID.as_bytes())],
                Some(UUID),
                None,
            ),
            (
                "crypto_LUKS",
                &[
                    (0, b"LUKS\xba\xbe\0\x02"),
                    (24, b"root"),
                    (168, b"01234567-89AB-cdef-0123-456789abcdef"),
                ],
                Some(UUID),
                Some("root"),
            ),
            (
                "ext2",
                &[(1080, b"\x53\xef"), (1128, &BYTES), (1144, b"data disk")],
                Some(UUID),
                Some("data disk"),
            ),
            (
                "xfs",
                &[(0, b"XFSB"), (32, &BYTES), (108, b"twelve chars")],
                Some(UUID),
                Some("twelve chars"),
            ),
            ("btrfs", &[(0x10040, b"_BHRfS_M"), (0x10020, &BYTES)], Some(UUID), None),
            (
                "vfat",
                &[
                    (11, &[0, 2, 1]),
                    (82, b"FAT32   "),
                    (67, &[0x78, 0x56, 0x34, 0xa2]),
                    (71, b"STICK      "),
                ],
                Some("a234-5678"),
                Some("STICK"),
            ),
            (
                "vfat",
                &[
                    (11, &[0, 2, 1]),
                    (54, b"FAT16   "),
                    (39, &[1, 0, 0, 0]),
                    (43, b"NO NAME    "),
                ],
                Some("0000-0001"),
                None,
            ),
            ("swap", &[(4086, b"SWAPSPACE2"), (1036, &BYTES)], Some(UUID), None),
            (
                "LVM2_member",
                &[
                    (512, b"LABELONE"),
                    (536, b"LVM2 001"),
                    (544, b"abcdefGHIJklmnOPQRstuvWXYZ123456"),
                ],
                Some("abcdef-ghij-klmn-opqr-stuv-wxyz-123456"),
                None,
            ),
        ];
        for (kind, parts, uuid, label) in cases {
            let found = identity(parts).unwrap_or_else(|| panic!("{kind} is found"));
            assert_eq!(
                (found.kind, found.uuid.as_deref(), found.label.as_deref()),
                (kind, uuid, label)
            );
        }
        assert_eq!(identity(&[]), None);
    }

    #[test]
    fn a_device_may_end_anywhere() {
        for size in [0, 7, 8, 170, 1081, 4096, 0x10048] {
            let mut memory = Memory::zeroed(size);
            let magic = b"LUKS\xba\xbe\0\x02";
            let fits = size.min(magic.len());
            memory.0[..fits].copy_from_slice(&magic[..fits]);
            let found = identify(&mut memory).expect("memory can be read");
            assert_eq!(found.is_some(), size >= 8, "{size}");
            assert!(found.is_none_or(|found| found.uuid.is_none()));
        }
    }
}
