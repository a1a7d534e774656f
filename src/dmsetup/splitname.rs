//! `splitname`: what a device's name says of the program that made it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::device_row::no_data;
use super::error::Failure;
use super::report::{Cell, Id, Kind, Needs, Row};
use super::reports;
use super::session::Session;

/// The only program whose names can be taken apart.
const LVM: &[u8] = b"LVM";

const KIND: Kind<'_> = Kind {
    columns: "vg_name,lv_name,lv_layer",
    sort: "",
    all: |needs| matches!(needs, Needs::Split),
};

/// The parts of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) group: Vec<u8>,
    pub(super) volume: Vec<u8>,
    pub(super) layer: Vec<u8>,
}

/// The parts of a name that `subsystem` made: volume group, logical volume, layer. A hyphen inside of a part is doubled,
/// one at the very end is a part of the name, and what comes behind the layer is dropped.
pub(super) fn parts(name: &[u8], subsystem: &[u8]) -> Parts {
    let mut parts: [Vec<u8>; 4] = Default::default();
    if subsystem == LVM {
        let mut part = 0;
        let mut rest = name;
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            match (first, behind) {
                (b'-', [b'-', ..]) => {
                    rest = &behind[1..];
                    parts[part].push(b'-');
                }
                (b'-', [_, ..]) => part = (part + 1).min(3),
                (byte, _) => parts[part].push(*byte),
            }
        }
    }
    let [group, volume, layer, _] = parts;
    Parts { group, volume, layer }
}

/// A name and who made it.
struct Named<'a> {
    subsystem: &'a [u8],
    parts: Parts,
}

impl Row<String> for Named<'_> {
    fn cell(&self, id: Id) -> Result<Cell, String> {
        Ok(Cell::text(match id {
            Id::Subsystem => self.subsystem,
            Id::VgName => &self.parts.group,
            Id::LvName => &self.parts.volume,
            Id::LvLayer => &self.parts.layer,
            id => return Err(no_data(id)),
        }))
    }
}

pub(super) fn splitname(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let [name, subsystem @ ..] = words else {
        return Err(Failure::Arguments);
    };
    let Some(mut report) = reports::begin(session, &KIND)? else {
        return Ok(());
    };
    let subsystem = subsystem.first().map_or(LVM, |subsystem| subsystem.as_bytes());
    let parts = parts(name.as_bytes(), subsystem);
    report
        .add(&Named { subsystem, parts })
        .map_err(|(_, message)| Failure::because(message.trim_end()))?;
    reports::show(session, &mut report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_lvm_come_apart_at_single_hyphens() {
        for (name, group, volume, layer) in [
            ("vg-lv", "vg", "lv", ""),
            ("vg--a-lv--b-layer", "vg-a", "lv-b", "layer"),
            ("vg", "vg", "", ""),
            ("", "", "", ""),
            ("vg-", "vg-", "", ""),
            ("-lv", "", "lv", ""),
            ("-", "-", "", ""),
            ("--", "-", "", ""),
            ("---", "--", "", ""),
            ("a---b", "a-", "b", ""),
            ("a-----b", "a--", "b", ""),
            ("a-b-", "a", "b-", ""),
            ("a-b-c-", "a", "b", "c-"),
            ("a-b-c-d", "a", "b", "c"),
            ("a-b-c-d-e", "a", "b", "c"),
        ] {
            let bytes = |text: &str| text.as_bytes().to_vec();
            let expected = Parts {
                group: bytes(group),
                volume: bytes(volume),
                layer: bytes(layer),
            };
            assert_eq!(parts(name.as_bytes(), LVM), expected, "{name}");
        }
        assert_eq!(parts(b"vg-lv", b"CRYPT"), Parts::default());
    }
}
