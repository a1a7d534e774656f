//! Targets that pass reads and writes on to a place on other devices, or make them up.

use super::record::record;
use super::words::Words;
use crate::dm::table::DeviceRef;

record!(
    /// A place on a device.
    Place {
        device: DeviceRef,
        offset_sectors: u64,
    }
);

record!(Striped {
    chunk_sectors: u64,
    stripes: Vec<Place>,
});

record!(
    /// The devices of a stripe, of a mirror or of a RAID, as they are doing.
    Legs {
        legs: Vec<Leg>,
    }
);

record!(Leg {
    device: Option<DeviceRef>,
    /// In the kernel's letter.
    letter: String,
    health: &'static str,
});

record!(Unstriped {
    stripe_count: u64,
    chunk_sectors: u64,
    stripe: u64,
    device: DeviceRef,
    offset_sectors: u64,
});

record!(Ebs {
    device: DeviceRef,
    offset_sectors: u64,
    emulated_block_sectors: u64,
    underlying_block_sectors: Option<u64>,
});

record!(Delay {
    device: DeviceRef,
    offset_sectors: u64,
    delay_ms: u64,
    write: Option<DelayedPlace>,
    flush: Option<DelayedPlace>,
});

record!(DelayedPlace {
    device: DeviceRef,
    offset_sectors: u64,
    delay_ms: u64,
});

record!(Flakey {
    device: DeviceRef,
    offset_sectors: u64,
    up_seconds: u64,
    down_seconds: u64,
    features: Vec<String>,
});

record!(Dust {
    device: DeviceRef,
    offset_sectors: u64,
    block_bytes: u64,
});

record!(DustState {
    device: DeviceRef,
    mode: String,
    logging: Option<String>,
});

record!(Switch {
    path_count: u64,
    region_sectors: u64,
    options: Vec<String>,
    paths: Vec<Place>,
});

record!(LogWrites {
    device: DeviceRef,
    log_device: DeviceRef,
});

record!(LogWritesState {
    logged_entries: u64,
    highest_allocated_sector: u64,
});

impl Place {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            device: words.device()?,
            offset_sectors: words.number()?,
        })
    }
}

impl Striped {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let count = words.number()?;
        Some(Self {
            chunk_sectors: words.number()?,
            stripes: words.times(count, Place::read)?,
        })
    }
}

impl Leg {
    /// A letter for each of the devices.
    pub(super) fn each(
        devices: impl Iterator<Item = Option<DeviceRef>>,
        letters: &str,
        name: fn(char) -> &'static str,
    ) -> Vec<Self> {
        let one = |(device, letter): (_, char)| Self {
            device,
            letter: letter.into(),
            health: name(letter),
        };
        devices.zip(letters.chars()).map(one).collect()
    }
}

impl Legs {
    /// `<n> <device>… 1 <letters>`
    pub(super) fn striped(words: &mut Words<'_>) -> Option<Self> {
        let count = words.number()?;
        let devices = words.times(count, Words::device)?;
        let letters = Self::letters(words, devices.len())?;
        let name = |letter| match letter {
            'A' => "alive",
            'D' => "failed",
            _ => "unknown",
        };
        Some(Self {
            legs: Leg::each(devices.into_iter().map(Some), letters, name),
        })
    }

    /// `1 <letters>`, of which there is one for each of the devices.
    pub(super) fn letters<'a>(words: &mut Words<'a>, count: usize) -> Option<&'a str> {
        words.is("1").then_some(())?;
        words.maybe(|letters| (letters.chars().count() == count).then_some(letters))
    }
}

impl Unstriped {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            stripe_count: words.number()?,
            chunk_sectors: words.number()?,
            stripe: words.number()?,
            device: words.device()?,
            offset_sectors: words.number()?,
        })
    }
}

impl Ebs {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            device: words.device()?,
            offset_sectors: words.number()?,
            emulated_block_sectors: words.number()?,
            underlying_block_sectors: words.number(),
        })
    }
}

impl DelayedPlace {
    fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            device: words.device()?,
            offset_sectors: words.number()?,
            delay_ms: words.number()?,
        })
    }
}

impl Delay {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let DelayedPlace {
            device,
            offset_sectors,
            delay_ms,
        } = DelayedPlace::read(words)?;
        Some(Self {
            device,
            offset_sectors,
            delay_ms,
            write: DelayedPlace::read(words),
            flush: DelayedPlace::read(words),
        })
    }
}

impl Flakey {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            device: words.device()?,
            offset_sectors: words.number()?,
            up_seconds: words.number()?,
            down_seconds: words.number()?,
            features: words.list()?,
        })
    }
}

impl Dust {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            device: words.device()?,
            offset_sectors: words.number()?,
            block_bytes: words.number()?,
        })
    }
}

impl DustState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            device: words.device()?,
            mode: words.name()?,
            logging: words.name(),
        })
    }
}

impl Switch {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let path_count = words.number()?;
        Some(Self {
            path_count,
            region_sectors: words.number()?,
            options: words.list()?,
            paths: words.times(path_count, Place::read)?,
        })
    }
}

impl LogWrites {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            device: words.device()?,
            log_device: words.device()?,
        })
    }
}

impl LogWritesState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            logged_entries: words.number()?,
            highest_allocated_sector: words.number()?,
        })
    }
}
