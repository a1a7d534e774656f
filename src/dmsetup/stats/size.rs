//! Sizes in the output and options of statistics: sectors, with a chosen unit.

use crate::dmsetup::options::digits;

/// The format of sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    /// In the largest unit that gives at least one, with its letter; multiples of 1000 or of 1024.
    Human { thousand: bool },
    /// In whole units of this many bytes.
    Whole(f64),
    /// In units of this many bytes, with two decimal places.
    Parts(f64),
}

impl Unit {
    /// From a letter behind an optional number; `None` if that is not a unit.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let at = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (count, letter) = (&text[..at], char::from(text.as_bytes()[at]));
        if letter.eq_ignore_ascii_case(&'h') {
            return Some(Self::Human {
                thousand: letter == 'H',
            });
        }
        let unit = bytes_of(letter)? as f64;
        if count.is_empty() {
            return Some(match letter {
                'b' | 'B' | 's' | 'S' => Self::Whole(unit),
                _ => Self::Parts(unit),
            });
        }
        let count: f64 = count.parse().ok()?;
        (count > 0.0 && count.is_finite()).then_some(Self::Parts(count * unit))
    }

    pub(super) fn show(self, sectors: u64) -> String {
        if sectors == 0 {
            return "0".into();
        }
        let bytes = sectors as f64 * 512.0;
        match self {
            Self::Whole(512.0) => sectors.to_string(),
            Self::Whole(_) => (u128::from(sectors) * 512).to_string(),
            Self::Parts(unit) => format!("{:.2}", bytes / unit),
            Self::Human { thousand } => {
                let (base, letters) = match thousand {
                    true => (1000.0, b"BKMGTPE"),
                    false => (1024.0, b"bkmgtpe"),
                };
                let mut scaled = bytes;
                let mut at = 0;
                while scaled >= base && at + 1 < letters.len() {
                    scaled /= base;
                    at += 1;
                }
                let places = if at == 0 { 0 } else { 2 };
                format!("{scaled:.places$}{}", char::from(letters[at]))
            }
        }
    }
}

/// Parses a number with a unit, or of sectors without one; `None` if it is invalid or too large.
pub(super) fn sectors(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().last()? {
        (at, letter) if !letter.is_ascii_digit() => (&text[..at], bytes_of(letter)?),
        _ => (text, 512),
    };
    let bytes = digits::<u64>(number)?.checked_mul(unit);
    bytes.map(|bytes| bytes / 512)
}

fn bytes_of(letter: char) -> Option<u64> {
    if letter.eq_ignore_ascii_case(&'s') {
        return Some(512);
    }
    let power = "bkmgtpe".find(letter.to_ascii_lowercase())?;
    let base: u64 = if letter.is_ascii_lowercase() { 1024 } else { 1000 };
    Some(base.pow(u32::try_from(power).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("8", 8),
            ("1k", 2),
            ("1M", 1953),
            ("513b", 1),
            ("3s", 3),
            ("1e", 1 << 51),
        ] {
            assert_eq!(sectors(text), Some(size), "{text}");
        }
        for text in ["", "x", "1.5m", "-5", "16e", "99999999999999999999", "k", "1kk", "ä"] {
            assert_eq!(sectors(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_units() {
        let shown = |unit: &str, sectors| Unit::parse(unit).expect("a unit").show(sectors);
        for (unit, sectors, text) in [
            ("h", 0, "0"),
            ("h", 1, "512b"),
            ("h", 1999, "999.50k"),
            ("h", 2047, "1023.50k"),
            ("h", 65536, "32.00m"),
            ("H", 1953, "999.94K"),
            ("b", 65536, "33554432"),
            ("s", 8, "8"),
            ("k", 65536, "32768.00"),
            ("3M", 65536, "11.18"),
            ("3s", 2, "0.67"),
            ("e", u64::MAX, "8192.00"),
        ] {
            assert_eq!(shown(unit, sectors), text, "{unit} {sectors}");
        }
        for bad in ["", "x", "3", "0k", "-1k"] {
            assert_eq!(Unit::parse(bad), None, "{bad}");
        }
    }
}
