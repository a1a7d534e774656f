//! Targets that keep copies or parity: mirror, raid.

use super::record::{Fill, Unit, record};
use super::simple::{Leg, Legs, Place};
use super::words::Words;
use crate::dm::table::DeviceRef;

record!(Mirror {
    log_type: String,
    log_arguments: Vec<String>,
    mirrors: Vec<Place>,
    features: Vec<String>,
});

record!(MirrorState {
    copy: Fill,
    legs: Vec<Leg>,
    log_type: Option<String>,
    log_device: Option<DeviceRef>,
    log_health: Option<&'static str>,
});

record!(Raid {
    raid_level: String,
    chunk_sectors: u64,
    options: Vec<String>,
    devices: Vec<RaidDevice>,
});

record!(
    /// A device of an array; neither where it is missing.
    RaidDevice {
        metadata_device: Option<DeviceRef>,
        data_device: Option<DeviceRef>,
    }
);

record!(RaidState {
    raid_level: String,
    copy: Fill,
    legs: Vec<Leg>,
    sync_action: Option<String>,
    mismatch_count: Option<u64>,
    data_offset_sectors: Option<u64>,
    journal: Option<&'static str>,
});

impl Mirror {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let log_type = words.text()?;
        let log_arguments = words.list()?;
        let count = words.number()?;
        Some(Self {
            log_type,
            log_arguments,
            mirrors: words.times(count, Place::read)?,
            features: words.list()?,
        })
    }
}

fn mirror_health(letter: char) -> &'static str {
    match letter {
        'A' => "alive",
        'D' => "failed: a write failed",
        'F' => "failed: a flush failed",
        'S' => "failed: the synchronisation failed",
        'R' => "a read failed",
        _ => "unknown",
    }
}

impl MirrorState {
    /// `<n> <device>… <in sync>/<regions> [1 <letters> [<n> <log>…]]`
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let count = words.number()?;
        let devices = words.times(count, Words::device)?;
        let unit = Unit {
            name: "regions",
            bytes: None,
        };
        let copy = Fill::new(words.ratio()?, unit);
        let mut state = Self {
            copy,
            legs: Vec::new(),
            log_type: None,
            log_device: None,
            log_health: None,
        };
        if words.peek().is_none() {
            // Kernels before 2.6.25.
            return Some(state);
        }
        let letters = Legs::letters(words, devices.len())?;
        state.legs = Leg::each(devices.into_iter().map(Some), letters, mirror_health);
        if let Some(count) = words.number::<u64>() {
            state.log_type = (count > 0).then(|| words.text()).flatten();
            if count > 1 {
                state.log_device = words.device();
                state.log_health = words.maybe(|word| {
                    let mut letters = word.chars();
                    letters.next().filter(|_| letters.next().is_none()).map(mirror_health)
                });
            }
        }
        Some(state)
    }
}

impl Raid {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let raid_level = words.text()?;
        // The size of the chunks counts as one of the options.
        let rest = words.number::<u64>()?.checked_sub(1)?;
        let chunk_sectors = words.number()?;
        let options = words.times(rest, Words::text)?;
        let count = words.number()?;
        let device = |words: &mut Words<'_>| {
            Some(RaidDevice {
                metadata_device: words.device_or_none()?,
                data_device: words.device_or_none()?,
            })
        };
        Some(Self {
            raid_level,
            chunk_sectors,
            options,
            devices: words.times(count, device)?,
        })
    }
}

impl RaidState {
    /// `<level> <n> <letters> <in sync>/<all> [<action> <mismatches> [<data offset> [<journal>]]]`
    pub(super) fn read(words: &mut Words<'_>, table: Option<&Raid>) -> Option<Self> {
        let raid_level = words.text()?;
        let count: u64 = words.number()?;
        let letters = words.maybe(|letters| (letters.chars().count() as u64 == count).then_some(letters))?;
        let device = |leg: usize| table.and_then(|table| table.devices.get(leg)?.data_device.clone());
        let health = |letter| match letter {
            'A' => "in sync",
            'a' => "not in sync",
            'D' => "failed",
            '-' => "missing",
            _ => "unknown",
        };
        let journal = |word| match word {
            "A" => Some("write-through"),
            "a" => Some("write-back"),
            "D" => Some("failed"),
            "-" => Some("none"),
            _ => None,
        };
        Some(Self {
            raid_level,
            legs: Leg::each((0..).map(device), letters, health),
            copy: Fill::new(words.ratio()?, Unit::SECTORS),
            sync_action: words.name(),
            mismatch_count: words.number(),
            data_offset_sectors: words.number(),
            journal: words.maybe(journal),
        })
    }
}
