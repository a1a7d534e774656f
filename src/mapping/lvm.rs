//! The meaning of LVM's device names.

use super::Mapping;

/// The prefix of the UUIDs of LVM's devices: only LVM's names can be taken apart.
pub(crate) const SUBSYSTEM: &[u8] = b"LVM";

/// The parts of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) group: Vec<u8>,
    pub(crate) volume: Vec<u8>,
    pub(crate) layer: Vec<u8>,
}

/// The parts of a name that `subsystem` made: volume group, logical volume, layer. A hyphen inside of a part is doubled,
/// one at the very end is a part of the name, and the text behind the layer is dropped.
pub(crate) fn parts(name: &[u8], subsystem: &[u8]) -> Parts {
    let mut parts: [Vec<u8>; 4] = Default::default();
    if subsystem == SUBSYSTEM {
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

/// The volume group and the logical volume of an LVM mapping; `None` for any other.
pub(crate) fn group_and_volume(mapping: &Mapping) -> Option<(String, String)> {
    let subsystem = mapping.uuid.as_ref()?.subsystem()?;
    let parts = parts(mapping.name.as_bytes(), subsystem);
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    (!parts.volume.is_empty()).then(|| (text(&parts.group), text(&parts.volume)))
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
            assert_eq!(parts(name.as_bytes(), SUBSYSTEM), expected, "{name}");
        }
        assert_eq!(parts(b"vg-lv", b"CRYPT"), Parts::default());
    }
}
