//! Latency histograms: their bounds as they are typed, sent and shown, and the counts of their bins.

use std::fmt::Write as _;

const UNITS: [(&str, u64); 4] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

/// Upper bounds in nanoseconds, rising.
pub(super) type Bounds = Vec<u64>;

/// Parses bounds: numbers of nanoseconds, or with a unit.
///
/// # Errors
/// The part that is not a valid bound.
pub(super) fn parse(text: &str) -> Result<Bounds, String> {
    let bound = |word: &str| {
        let at = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        let unit = match &word[at..] {
            "" => Some(1),
            letters => UNITS.iter().find(|(name, _)| *name == letters).map(|(_, unit)| *unit),
        };
        let number = word[..at].parse::<u64>().ok();
        let bound = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        bound.filter(|bound| *bound > 0).ok_or_else(|| word[at..].to_owned())
    };
    text.split(',').map(bound).collect()
}

/// Whether bounds need the kernel to count in nanoseconds.
pub(super) fn is_fine(bounds: &[u64]) -> bool {
    bounds.iter().any(|bound| bound % 1_000_000 != 0)
}

/// The layout of bounds and counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Bounds have a unit.
    pub(super) units: bool,
    /// Numbers are aligned in columns.
    pub(super) aligned: bool,
}

/// The text before each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Bound,
    Range,
}

impl Style {
    fn bound(self, bound: u64) -> String {
        let (unit, size) = match bound {
            _ if !self.units => ("", 1),
            0 => UNITS[0],
            _ => UNITS
                .into_iter()
                .find(|(_, size)| bound.is_multiple_of(*size))
                .unwrap_or(UNITS[3]),
        };
        format!("{}{unit}", bound / size)
    }

    /// The bounds, from 0 on.
    pub(super) fn bounds(self, bounds: &[u64]) -> String {
        let lower = bounds.first().map(|_| 0);
        let shown: Vec<_> = lower.iter().chain(bounds).map(|bound| self.bound(*bound)).collect();
        shown.join(",")
    }

    fn label(self, bounds: &[u64], bin: usize, before: Before) -> String {
        let lower = if bin == 0 { 0 } else { bounds[bin - 1] };
        match (before, bounds.get(bin)) {
            (Before::Nothing, _) => String::new(),
            (Before::Bound, _) => self.bound(lower),
            (Before::Range, Some(upper)) => format!("{}-{}", self.bound(lower), self.bound(*upper)),
            (Before::Range, None) => format!(">{}", self.bound(lower)),
        }
    }

    /// The bins between the bounds.
    pub(super) fn ranges(self, bounds: &[u64]) -> String {
        let bins = if bounds.is_empty() { 0 } else { bounds.len() + 1 };
        let shown: Vec<_> = (0..bins).map(|bin| self.label(bounds, bin, Before::Range)).collect();
        shown.join(",")
    }

    /// The requests in each bin, as counts or as percentages.
    pub(super) fn counts(self, bounds: &[u64], counts: &[u64], before: Before, relative: bool) -> String {
        let total = counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let widest = if self.units { 6 } else { 10 };
        let mut out = String::new();
        for (bin, count) in counts.iter().enumerate().take(bounds.len() + 1) {
            let label = self.label(bounds, bin, before);
            let number = match (relative, total) {
                (false, _) => count.to_string(),
                (true, 0) => "0.00".into(),
                (true, _) => format!("{:.2}", *count as f64 * 100.0 / total as f64),
            };
            let percent = if relative { "%" } else { "" };
            if !self.aligned {
                let between = if bin > 0 { ":" } else { "" };
                let colon = if before == Before::Nothing { "" } else { ":" };
                let _ = write!(out, "{between}{label}{colon}{number}{percent}");
                continue;
            }
            let between = if bin > 0 && before != Before::Nothing { "," } else { "" };
            // Label and number together have a fixed width.
            let room = match before {
                Before::Bound | Before::Range => (widest + 6_usize).saturating_sub(label.len().max(widest)),
                Before::Nothing => 6,
            };
            let _ = match before {
                Before::Nothing => write!(out, "{number:>room$}{percent}"),
                _ => write!(out, "{between}{label:>widest$}:{number:>room$}{percent}"),
            };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        units: true,
        aligned: true,
    };

    #[test]
    fn bounds_are_read_and_shown() {
        let bounds = parse("100us,1ms,5000000,2s").expect("bounds");
        assert_eq!(bounds, [100_000, 1_000_000, 5_000_000, 2_000_000_000]);
        assert_eq!(STYLE.bounds(&bounds), "0s,100us,1ms,5ms,2s");
        assert_eq!(STYLE.ranges(&bounds), "0s-100us,100us-1ms,1ms-5ms,5ms-2s,>2s");
        assert_eq!(STYLE.bounds(&[]) + &STYLE.ranges(&[]), "");
        assert_eq!(parse("x").expect_err("no number"), "x");
        for bad in ["", "1m", "0", "1ms, 2ms", "99999999999999999999s", "18446744074s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(is_fine(&bounds) && !is_fine(&[1_000_000]));
    }

    #[test]
    fn counts_stand_behind_their_bins() {
        let (bounds, counts) = ([100_000, 1_000_000, 5_000_000], [251, 9, 2, 0]);
        let shown = |before, relative| STYLE.counts(&bounds, &counts, before, relative);
        assert_eq!(shown(Before::Nothing, false), "   251     9     2     0");
        assert_eq!(
            shown(Before::Bound, false),
            "    0s:   251, 100us:     9,   1ms:     2,   5ms:     0"
        );
        assert_eq!(
            shown(Before::Range, false),
            "0s-100us: 251,100us-1ms:  9,1ms-5ms:    2,  >5ms:     0"
        );
        assert_eq!(shown(Before::Nothing, true), " 95.80%  3.44%  0.76%  0.00%");
        assert_eq!(
            shown(Before::Range, true),
            "0s-100us:95.80%,100us-1ms:3.44%,1ms-5ms: 0.76%,  >5ms:  0.00%"
        );
        // Whatever the kernel's counts are.
        let most = [u64::MAX, u64::MAX];
        assert!(STYLE.counts(&[1], &most, Before::Nothing, true).starts_with("100.00%"));
        let plain = Style {
            aligned: false,
            ..STYLE
        };
        assert_eq!(
            plain.counts(&bounds, &counts, Before::Bound, false),
            "0s:251:100us:9:1ms:2:5ms:0"
        );
    }
}
