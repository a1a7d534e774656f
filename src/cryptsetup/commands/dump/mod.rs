//! The texts and the JSON of `luksDump`. [`super::inspect`] decides what may be shown.

mod json;
mod luks1;
mod luks2;
mod map;

pub(super) use json::{keyslot_numbers, metadata_text, to_json};
pub(super) use map::Map;

use std::path::Path;

use keyslots::header::Header;

/// The dump of a header of either version, to the letter as programs expect it.
pub(super) fn text(header: &Header, device: &Path) -> String {
    match header {
        Header::Luks1(header) => luks1::text(header, &device.display().to_string()),
        Header::Luks2(header) => luks2::text(header),
    }
}

/// Bytes as two digits and a space each, with `line_break` before every 17th.
pub(super) fn hex_lines(bytes: &[u8], line_break: &str) -> String {
    let lines: Vec<String> = bytes
        .chunks(16)
        .map(|line| line.iter().map(|byte| format!("{byte:02x} ")).collect())
        .collect();
    lines.join(line_break)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_break_into_lines_of_sixteen() {
        assert_eq!(hex_lines(&[0xab], "\n\t"), "ab ");
        assert_eq!(hex_lines(&[1; 17], "\n\t"), format!("{}\n\t01 ", "01 ".repeat(16)));
        assert_eq!(hex_lines(&[1; 20], ""), "01 ".repeat(20));
    }
}
