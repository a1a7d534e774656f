//! A small check of new passphrases that people type: it stops the worst ones and claims no more.
//!
//! It works on the bytes in place. An estimator with dictionaries would copy the passphrase about the heap.

use std::fmt;

use keyslots::secret::Passphrase;

/// The fewest bytes that cause no warning.
const SHORTEST: usize = 8;
/// Fewest different bytes.
const FEWEST_DIFFERENT: usize = 5;

/// The weakness of a passphrase. `Display` completes "this passphrase".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// It is empty.
    Empty,
    /// Fewer than eight bytes.
    Short,
    /// Few different characters, over and over.
    Repetitive,
    /// Neighbours only: `abcdefgh`, `87654321`.
    Sequence,
    /// Nothing but digits, and not many of them.
    DigitsOnly,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::Short => "is shorter than 8 characters",
            Self::Repetitive => "repeats very few characters",
            Self::Sequence => "is a plain sequence",
            Self::DigitsOnly => "is a short number",
        })
    }
}

/// The worst weakness of a passphrase, `None` if there is none.
pub fn weakness(passphrase: &Passphrase) -> Option<Weakness> {
    let bytes = passphrase.expose();
    let different = (0..=u8::MAX).filter(|byte| bytes.contains(byte)).count();
    let neighbours = |step: i16| {
        bytes
            .windows(2)
            .all(|pair| i16::from(pair[1]) - i16::from(pair[0]) == step)
    };
    if bytes.is_empty() {
        Some(Weakness::Empty)
    } else if bytes.len() < SHORTEST {
        Some(Weakness::Short)
    } else if different < FEWEST_DIFFERENT {
        Some(Weakness::Repetitive)
    } else if neighbours(1) || neighbours(-1) {
        Some(Weakness::Sequence)
    } else if bytes.len() < 2 * SHORTEST && bytes.iter().all(u8::is_ascii_digit) {
        Some(Weakness::DigitsOnly)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use keyslots::secret::Secret;

    use super::*;

    #[test]
    fn the_worst_are_named_and_the_rest_pass() {
        let verdict = |text: &str| weakness(&Passphrase::new(Secret::copy_from(text.as_bytes()).expect("a page")));
        assert_eq!(verdict(""), Some(Weakness::Empty));
        assert_eq!(verdict("tiny"), Some(Weakness::Short));
        assert_eq!(verdict("aaaaaaaaaaaa"), Some(Weakness::Repetitive));
        assert_eq!(verdict("abababababab"), Some(Weakness::Repetitive));
        assert_eq!(verdict("abcdefghij"), Some(Weakness::Sequence));
        assert_eq!(verdict("987654321"), Some(Weakness::Sequence));
        assert_eq!(verdict("19840312"), Some(Weakness::DigitsOnly));
        assert_eq!(verdict("correct horse"), None);
        assert_eq!(verdict("päßwörter"), None);
    }
}
