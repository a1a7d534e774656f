//! The images that a stop leaves, made from the events of a [`Recorder`].

use super::{Event, Recorder, SECTOR};
use crate::units::Bytes;

/// The kind of a [`Crash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process was killed between two events; all it wrote is there.
    Killed,
    /// Of the next write only the first sectors are there, this many.
    TornHead(usize),
    /// Of the next write only the last sectors are there, this many.
    TornTail(usize),
    /// The power failed: all unsynced data are lost.
    Unsynced,
    /// The power failed: of the unsynced data, only the write of this event is there.
    Reordered(usize),
    /// The power failed: of the unsynced sectors, some are there; this is the number of the choice.
    Chosen(usize),
}

/// The state of the disk after a stop.
#[derive(Debug)]
pub struct Crash<'a> {
    /// The number of earlier events.
    pub after: usize,
    /// The kind of stop.
    pub cause: Cause,
    /// The whole disk.
    pub image: &'a [u8],
}

/// The extent of the search.
#[derive(Clone, Copy)]
struct Extent {
    /// Every write is torn at each sector; else long writes in three places.
    all_tears: bool,
    /// The number of choices of unsynced sectors.
    choices: usize,
}

impl Recorder {
    /// Calls `check` with each image that a stop during the recorded events could have left; returns how many. Long
    /// writes are torn in a few places only, and unsynced data are there or lost by whole writes.
    pub fn for_each_crash(&self, check: impl FnMut(&Crash<'_>)) -> usize {
        self.for_each_sample(0, check)
    }

    /// The same, and `choices` sets, before each event, of the unsynced sectors: a disk may write them in any order. The
    /// choices are the same each time.
    pub fn for_each_sample(&self, choices: usize, check: impl FnMut(&Crash<'_>)) -> usize {
        let all_tears = false;
        self.show(Extent { all_tears, choices }, check)
    }

    /// The same, and each write is torn at each of its sectors.
    pub fn for_each_state(&self, choices: usize, check: impl FnMut(&Crash<'_>)) -> usize {
        let all_tears = true;
        self.show(Extent { all_tears, choices }, check)
    }

    fn show(&self, extent: Extent, mut check: impl FnMut(&Crash<'_>)) -> usize {
        let mut points = 0;
        let mut show = |after: usize, cause: Cause, image: &[u8]| {
            if after < self.shown_from {
                return;
            }
            points += 1;
            check(&Crash { after, cause, image });
        };
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut durable = self.initial.clone();
        let mut cached = self.initial.clone();
        let mut unsynced: Vec<usize> = Vec::new();
        for after in 0..=self.events.len() {
            show(after, Cause::Killed, &cached);
            // What is lost or alone is shown when it is written; later it would be the same image again.
            match unsynced.as_slice() {
                [] => {}
                [_] => show(after, Cause::Unsynced, &durable),
                [.., newest] => {
                    let mut image = durable.clone();
                    apply(&mut image, &self.events[*newest], |_| true);
                    show(after, Cause::Reordered(*newest), &image);
                }
            }
            if !unsynced.is_empty() {
                for choice in 0..extent.choices {
                    let mut image = durable.clone();
                    // From few of them to nearly all.
                    let of_eight = 1 + choice as u64 % 7;
                    for event in &unsynced {
                        apply(&mut image, &self.events[*event], |_| random.next() % 8 < of_eight);
                    }
                    show(after, Cause::Chosen(choice), &image);
                }
            }
            let Some(event) = self.events.get(after) else { break };
            match event {
                Event::Sync => {
                    durable.clone_from(&cached);
                    unsynced.clear();
                }
                Event::Write { offset, data } => {
                    let sectors = sectors_of(*offset, data.len());
                    for count in tears(sectors, extent) {
                        let mut image = cached.clone();
                        apply(&mut image, event, |sector| sector < count);
                        show(after, Cause::TornHead(count), &image);
                        image.clone_from(&cached);
                        apply(&mut image, event, |sector| sector >= sectors - count);
                        show(after, Cause::TornTail(count), &image);
                    }
                    apply(&mut cached, event, |_| true);
                    unsynced.push(after);
                }
            }
        }
        points
    }
}

/// Numbers without a pattern, the same each time (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 32
    }
}

/// Sectors that a write touches.
fn sectors_of(offset: Bytes, len: usize) -> usize {
    let start = offset.to_usize().unwrap_or(usize::MAX);
    start
        .saturating_add(len)
        .div_ceil(SECTOR)
        .saturating_sub(start / SECTOR)
}

/// How many sectors of a torn write are there.
fn tears(sectors: usize, extent: Extent) -> Vec<usize> {
    match extent.all_tears {
        false if sectors > 8 => vec![1, sectors / 2, sectors - 1],
        _ => (1..sectors).collect(),
    }
}

/// Puts the sectors of a write that `there` selects, counted from the first it touches, onto `image`.
fn apply(image: &mut [u8], event: &Event, mut there: impl FnMut(usize) -> bool) {
    let Event::Write { offset, data } = event else { return };
    let mut at = offset.to_usize().unwrap_or(usize::MAX);
    let first = at / SECTOR;
    let mut rest = data.as_slice();
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        if there(at / SECTOR - first)
            && let Some(place) = image.get_mut(at..at + part.len())
        {
            place.copy_from_slice(part);
        }
        at += part.len();
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Storage;
    use super::*;

    fn two_writes() -> Recorder {
        let mut disk = Recorder::new(vec![0; 2048]);
        disk.write_at(Bytes::ZERO, &[1; 592]).expect("inside");
        disk.write_at(Bytes::new(1024), &[2; 512]).expect("inside");
        disk.sync().expect("no fault");
        disk
    }

    #[test]
    fn every_stop_is_shown() {
        let mut causes = Vec::new();
        let points = two_writes().for_each_crash(|crash| causes.push((crash.after, crash.cause, sum(crash.image))));
        assert_eq!(points, causes.len());
        assert_eq!(
            causes,
            [
                (0, Cause::Killed, 0),
                (0, Cause::TornHead(1), 512),
                (0, Cause::TornTail(1), 80),
                (1, Cause::Killed, 592),
                (1, Cause::Unsynced, 0),
                (2, Cause::Killed, 592 + 1024),
                (2, Cause::Reordered(1), 1024),
                (3, Cause::Killed, 592 + 1024),
            ]
        );
    }

    #[test]
    fn any_sectors_that_were_not_synced_may_be_there() {
        let mut disk = Recorder::new(vec![0; 2048]);
        disk.write_at(Bytes::ZERO, &[1; 2048]).expect("inside");
        disk.sync().expect("no fault");
        let mut images = std::collections::BTreeSet::new();
        let points = disk.for_each_state(200, |crash| {
            images.insert(crash.image.to_vec());
        });
        // Killed three times, unsynced once, torn three times from each end, and the choices.
        assert_eq!(points, 3 + 1 + 6 + 200);
        assert_eq!(images.len(), 16);
    }

    fn sum(image: &[u8]) -> u64 {
        image.iter().map(|&byte| u64::from(byte)).sum()
    }
}
