//! The description of a device for a person.

use std::fs::File;
use std::path::Path;

use keyslots::storage::Storage as _;
use keyslots::units::Bytes;

use crate::block_device::{self, DevNo, identify};
use crate::terminal_text::clean;

/// The properties by which a person recognises a device: label, size, UUID, model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The label of what is on it.
    pub label: Option<String>,
    /// Its size.
    pub size: Option<Bytes>,
    /// The UUID of what is on it.
    pub uuid: Option<String>,
    /// The model of the drive.
    pub model: Option<String>,
}

impl Description {
    /// Reads them from the device, or the file.
    pub fn of(path: &Path) -> Self {
        let mut file = File::open(path).ok();
        let identity = file.as_mut().and_then(|file| identify(file).ok()?).unwrap_or_default();
        let number = DevNo::of_path(path).ok().flatten();
        Self {
            label: identity.label,
            uuid: identity.uuid,
            size: file.and_then(|mut file| file.size().ok()),
            model: number.and_then(|number| block_device::drive(number).1),
        }
    }
}

impl std::fmt::Display for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            self.label.as_ref().map(|label| format!("label {label}")),
            self.size.map(in_round_units),
            self.model.clone(),
            self.uuid.as_ref().map(|uuid| format!("UUID {uuid}")),
        ];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        // Anyone who can write to the disk can set the label: it must not control a terminal.
        f.write_str(&clean(&text))
    }
}

/// A size in readable form: three digits at the most, if that loses no more than a tenth.
fn in_round_units(size: Bytes) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut whole, mut tenths, mut unit) = (size.get(), 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = (whole % 1024) * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if whole < 10 && tenths > 0 {
        format!("{whole}.{tenths} {}", UNITS[unit])
    } else {
        format!("{whole} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_round() {
        let text = |bytes| in_round_units(Bytes::new(bytes));
        assert_eq!(text(512), "512 B");
        assert_eq!(text(16 << 20), "16 MiB");
        assert_eq!(text((3 << 30) + (600 << 20)), "3.5 GiB");
        assert_eq!(text(500_107_862_016), "465 GiB");
        assert_eq!(text(u64::MAX), "16383 PiB");
    }
}
