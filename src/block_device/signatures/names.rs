//! The names that a format stores: its UUID and its label.

use std::io;

use super::image::Image;

/// UUID and label.
pub(super) type Names = (Option<String>, Option<String>);

/// Reads the names that a format stores; `None` if it is not that format after all.
pub(super) type ReadNames = fn(&mut Image<'_>) -> io::Result<Option<Names>>;

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
