//! Sections of a unified kernel image, a PE file: <https://uapi-group.org/specifications/specs/unified_kernel_image/>.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// More than any real image has.
const MOST_SECTIONS: u16 = 96;

/// The place of the section of this name in the file; `None` if there is none, or the file is not such an image.
pub(super) fn section(file: &File, wanted: &[u8]) -> Option<Range<u64>> {
    let len = file.metadata().ok()?.len();
    if read::<2>(file, 0)? != *b"MZ" {
        return None;
    }
    let header = u64::from(u32::from_le_bytes(read(file, 0x3c)?));
    if read::<4>(file, header)? != *b"PE\0\0" {
        return None;
    }
    let count = u16::from_le_bytes(read(file, header + 6)?);
    let optional = u16::from_le_bytes(read(file, header + 20)?);
    let table = header + 24 + u64::from(optional);
    for number in 0..count.min(MOST_SECTIONS) {
        let section: [u8; 40] = read(file, table + u64::from(number) * 40)?;
        let field = |at: usize| Some(u64::from(u32::from_le_bytes(*section.get(at..)?.first_chunk()?)));
        let name = section.split(|byte| *byte == 0).next()?;
        if name.get(..8).unwrap_or(name) == wanted {
            let (start, size) = (field(20)?, field(8)?.min(field(16)?));
            let end = start.checked_add(size)?;
            return (end <= len).then_some(start..end);
        }
    }
    None
}

/// The text of a section.
pub(super) fn text(file: &File, wanted: &[u8]) -> Option<String> {
    let part = section(file, wanted)?;
    let len = usize::try_from(part.end - part.start)
        .ok()
        .filter(|len| *len <= 1 << 16)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, part.start).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_end_matches(['\0', '\n']).to_owned())
}

fn read<const LEN: usize>(file: &File, at: u64) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}
