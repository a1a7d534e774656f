//! The identity of a device: the UUID and the label of its contents, as `blkid` prints them, read without udev.
//!
//! Only formats by which a user names a volume, a key device or a root have names here; the table of formats is in
//! [`super::table`].

use std::io;

use keyslots::storage::Storage;

use super::image::Image;
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
