//! `luksDump --map`: the layout of the device, drawn to scale in the terminal, and the same as JSON.
//!
//! Two bars, since a header is tiny beside its data: all of the device, and the part before the data. A part that is
//! smaller than a column still gets one.

use std::io;
use std::path::Path;

use keyslots::KeyslotId;
use keyslots::header::{Header, Version};
use keyslots::luks1::{self, KeyslotState};
use keyslots::luks2::format::Which;
use keyslots::luks2::{self, copies::OtherCopy};
use serde_json::{Value, json};

use crate::console::amount;
use crate::slot_names::SlotName;
use crate::terminal_text::clean;

/// The default number of columns.
const DEFAULT_WIDTH: u16 = 80;
/// A gap that only aligns the next part to a multiple of this is not a part of its own.
const ALIGNMENT: u64 = 4096;

/// The use of a part of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Metadata,
    Keyslot(KeyslotId),
    Free,
    Gap,
    Data,
}

#[derive(Debug)]
struct Part {
    kind: Kind,
    offset: u64,
    size: u64,
    what: String,
}

/// The layout of the header's device, and the data on another.
#[derive(Debug)]
pub(in crate::cryptsetup) struct Map {
    parts: Vec<Part>,
    elsewhere: Vec<Part>,
    /// The start of the data, or the end of the header's device.
    header_end: u64,
    size: u64,
}

impl Map {
    /// For a header on a device of `size` bytes; `data_size` if its data are on another, zero if that is unknown.
    pub(in crate::cryptsetup) fn new(header: &Header, size: u64, data_size: Option<u64>) -> Self {
        let (mut known, data, keyslots_end) = match header {
            Header::Luks1(header) => luks1_parts(header),
            Header::Luks2(luks2) => luks2_parts(luks2, &crate::slot_names::list(header)),
        };
        let (mut elsewhere, mut header_end) = (Vec::new(), size);
        for mut part in data {
            let away = data_size.is_some() || part.offset == 0;
            if part.size == 0 {
                // To the end of the device.
                let end = if away { data_size.unwrap_or_default() } else { size };
                part.size = end.saturating_sub(part.offset);
            }
            if away {
                elsewhere.push(part);
            } else {
                header_end = header_end.min(part.offset);
                known.push(part);
            }
        }
        known.sort_by_key(|part| part.offset);
        known.push(Part::new(Kind::Gap, size, 0, String::new()));
        let (mut parts, mut at) = (Vec::new(), 0);
        for part in known {
            // Between the parts: free as far as keyslots may be placed.
            for (end, kind, what) in [
                (part.offset.min(keyslots_end), Kind::Free, "free for keyslots"),
                (part.offset, Kind::Gap, "not used by LUKS"),
            ] {
                if end.saturating_sub(at) >= ALIGNMENT {
                    parts.push(Part::new(kind, at, end - at, what.to_owned()));
                }
                at = at.max(end);
            }
            at = at.max(part.offset.saturating_add(part.size));
            if part.size > 0 {
                parts.push(part);
            }
        }
        Self {
            parts,
            elsewhere,
            header_end,
            size,
        }
    }

    pub(in crate::cryptsetup) fn to_json(&self) -> Value {
        json!({
            "size": self.size,
            "parts": self.parts.iter().map(Part::to_json).collect::<Vec<_>>(),
            "data_elsewhere": self.elsewhere.iter().map(Part::to_json).collect::<Vec<_>>(),
        })
    }

    /// As wide as the terminal, and in its character set.
    pub(in crate::cryptsetup) fn text(&self, device: &Path) -> String {
        let width = terminal_size::terminal_size_of(io::stdout()).map_or(DEFAULT_WIDTH, |(width, _)| width.0);
        self.draw(&device.display().to_string(), width.into(), locale_is_utf8())
    }

    fn draw(&self, device: &str, width: usize, utf8: bool) -> String {
        let mut out = String::new();
        let mut ends = vec![self.size];
        if self.header_end < self.size {
            ends.push(self.header_end);
        }
        for (end, name) in ends.into_iter().zip([device, "Before the data"]) {
            let columns = amount(end / width.max(1) as u64);
            out.push_str(&format!("{name}: {}, {columns} a column\n", amount(end)));
            out.push_str(&bar(&self.parts, end, width, utf8));
            out.push('\n');
        }
        out.push_str(&format!("\n{:>17} {:>15}\n", "offset", "size"));
        for (parts, mark) in [(&self.parts, ""), (&self.elsewhere, " (on another device)")] {
            for part in parts {
                let (bytes, size) = part
                    .known_size()
                    .map_or_else(<_>::default, |size| (size.to_string(), amount(size)));
                let symbol = part.kind.symbol(utf8);
                out.push_str(&format!(
                    "{symbol} {:>15} {bytes:>15} {size:>10}  {}{mark}\n",
                    part.offset, part.what
                ));
            }
        }
        out
    }
}

impl Part {
    fn new(kind: Kind, offset: u64, size: u64, what: String) -> Self {
        Self {
            kind,
            offset,
            size,
            what,
        }
    }

    /// No part is as long as this; data on an unknown device count as such.
    fn known_size(&self) -> Option<u64> {
        Some(self.size).filter(|&size| size > 0)
    }

    fn to_json(&self) -> Value {
        let kind = match self.kind {
            Kind::Metadata => "metadata",
            Kind::Keyslot(_) => "keyslot",
            Kind::Free => "free",
            Kind::Gap => "gap",
            Kind::Data => "data",
        };
        let mut value = json!({ "kind": kind, "offset": self.offset, "size": self.known_size(), "what": self.what });
        if let Kind::Keyslot(slot) = self.kind {
            value["keyslot"] = slot.get().into();
        }
        value
    }
}

impl Kind {
    fn symbol(self, utf8: bool) -> char {
        match (self, utf8) {
            // Keyslots are 0 to 31.
            (Self::Keyslot(slot), _) => char::from_digit(slot.get(), 36).unwrap_or('?'),
            (Self::Metadata, true) => '▓',
            (Self::Metadata, false) => 'M',
            (Self::Free, true) => '·',
            (Self::Free, false) => '.',
            (Self::Gap, true) => '░',
            (Self::Gap, false) => '-',
            (Self::Data, true) => '█',
            (Self::Data, false) => '#',
        }
    }
}

/// The parts that start before `end`, in `width` columns that represent that much.
fn bar(parts: &[Part], end: u64, width: usize, utf8: bool) -> String {
    let parts: Vec<_> = parts.iter().filter(|part| part.offset < end).collect();
    let column = |offset: u64| (u128::from(offset.min(end)) * width as u128 / u128::from(end.max(1))) as usize;
    let mut out = String::new();
    let mut at = 0;
    for (n, part) in parts.iter().enumerate() {
        let rest = parts.len() - n - 1;
        // At least one each, and room for one of each that follows, as far as there are columns.
        let to = parts.get(n + 1).map_or(width, |next| column(next.offset));
        let to = to.max(at + 1).min(width.saturating_sub(rest).max(at + 1)).min(width);
        out.extend((at..to).map(|_| part.kind.symbol(utf8)));
        at = at.max(to);
    }
    out
}

/// The layout of the header's device, the data, and the end of the keyslots area.
type Parts = (Vec<Part>, Vec<Part>, u64);

fn luks1_parts(header: &luks1::Header) -> Parts {
    let mut parts = vec![Part::new(
        Kind::Metadata,
        0,
        luks1::HEADER_LEN as u64,
        "the header, of which there is one".to_owned(),
    )];
    let size = header.area_size().get();
    for (slot, keyslot) in KeyslotId::all(Version::Luks1).zip(header.keyslots()) {
        let (kind, state) = match keyslot.state {
            KeyslotState::Active => (Kind::Keyslot(slot), ""),
            KeyslotState::Inactive => (Kind::Free, ", free"),
            KeyslotState::Invalid(_) => (Kind::Keyslot(slot), ", invalid"),
        };
        let offset = keyslot.material_offset.get() * 512;
        parts.push(Part::new(kind, offset, size, format!("keyslot {slot}{state}")));
    }
    let cipher = format!("{}-{}", header.cipher_name(), header.cipher_mode());
    let data = Part::new(
        Kind::Data,
        header.payload_offset().get() * 512,
        0,
        format!("data, {}", clean(&cipher)),
    );
    (parts, vec![data], 0)
}

fn luks2_parts(header: &luks2::Header, names: &[SlotName]) -> Parts {
    let (metadata, hdr_size) = (header.metadata(), header.binary().hdr_size.get());
    let mut parts: Vec<_> = [(Which::Primary, "first"), (Which::Secondary, "second")]
        .into_iter()
        .zip([0, hdr_size])
        .map(|((which, name), offset)| {
            let state = match header.other_copy() {
                OtherCopy::Stale(copy) if *copy == which => ", found outdated",
                OtherCopy::Damaged(copy, _) if *copy == which => ", found damaged",
                _ => "",
            };
            Part::new(
                Kind::Metadata,
                offset,
                hdr_size,
                format!("{name} copy of the metadata{state}"),
            )
        })
        .collect();
    for (&slot, keyslot) in &metadata.keyslots {
        let name = names.binary_search_by_key(&slot, |entry| entry.slot);
        let name = name.map_or(String::new(), |at| format!(" ({})", clean(&names[at].name)));
        let what = format!("keyslot {slot}{name}, {}", clean(keyslot.type_name()));
        parts.push(Part::new(
            Kind::Keyslot(slot),
            keyslot.area.offset.get(),
            keyslot.area.size.get(),
            what,
        ));
    }
    let data = metadata.segments.iter().map(|(id, segment)| {
        let cipher = segment.crypt().map_or(segment.type_name(), |crypt| &crypt.encryption);
        Part::new(
            Kind::Data,
            segment.offset.get(),
            segment.size.map_or(0, keyslots::units::Bytes::get),
            format!("data, segment {id}, {}", clean(cipher)),
        )
    });
    (parts, data.collect(), header.size().get())
}

/// Whether the locale is UTF-8: the first of its variables that is set decides.
fn locale_is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
    let locale = locale.map(|value| value.to_string_lossy().to_lowercase());
    locale
        .into_iter()
        .find(|value| !value.is_empty())
        .is_some_and(|value| value.contains("utf-8") || value.contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(ends: &[u64]) -> Vec<Part> {
        let starts = std::iter::once(&0).chain(ends);
        let parts = (0..).zip(starts.zip(ends));
        parts
            .map(|(n, (&start, &end))| Part::new(Kind::Keyslot(KeyslotId::new(n)), start, end - start, String::new()))
            .collect()
    }

    #[test]
    fn a_bar_is_to_scale_and_shows_every_part() {
        assert_eq!(bar(&parts(&[25, 50, 100]), 100, 8, false), "00112222");
        // A part in a thousand, and one at the very end.
        assert_eq!(bar(&parts(&[1, 2, 999, 1000]), 1000, 10, false), "0122222223");
        // Only what starts before the end.
        assert_eq!(bar(&parts(&[10, 20, 1000]), 20, 6, false), "000111");
        assert_eq!(bar(&parts(&[u64::MAX - 1, u64::MAX]), u64::MAX, 5, false), "00001");
    }

    #[test]
    fn too_few_columns_are_too_few() {
        for width in 0..4 {
            let text = bar(&parts(&[1, 2, 3, 4]), 4, width, true);
            assert_eq!(text.chars().count(), width);
        }
    }
}
