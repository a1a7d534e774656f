//! What all findings come to, in one case.

use keyslots::KeyslotId;

use super::found::{Condition, Found};
use super::remedy::RemedyKind;
use super::report::Report;

/// What the findings come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The header is sound, and so are all keyslots.
    Sound,
    /// Headers are sound where partitions start.
    InPartitions(usize),
    /// Other copies or fields are damaged, and can be restored.
    Repairable,
    /// Some keyslots are damaged, these are not.
    SomeKeyslots(Vec<KeyslotId>),
    /// No keyslot of the data is intact: no passphrase opens it.
    NoKeyslot,
    /// There is a usable header, but at this place.
    Elsewhere(u64),
    /// The device ends this many bytes before the volume or its header does.
    CutOff(u64),
    /// A backup replaces what is lost.
    BackupOnly,
    /// There are traces of a header, and none can be restored.
    Lost,
    /// The second copy is there, but the header starts in front of the device.
    StartsBefore,
    /// There is no trace.
    Nothing,
}

impl Report {
    /// The header that the findings are about: the one where the search started, or the first that can be used.
    pub fn main(&self) -> Option<&Found> {
        let at_start = || self.found.iter().filter(|found| found.start == self.from);
        let usable = |found: &&Found| found.header.is_some();
        let elsewhere = || {
            self.found
                .iter()
                .find(|found| found.header.is_some() && !found.usable_keyslots().is_empty())
        };
        at_start()
            .find(usable)
            .or_else(elsewhere)
            .or_else(|| self.found.iter().find(usable))
            .or_else(|| at_start().next())
            .or(self.found.first())
    }

    /// What the findings come to.
    pub fn verdict(&self) -> Verdict {
        let offers = |wanted: fn(&RemedyKind) -> bool| self.remedies.iter().any(|remedy| wanted(&remedy.kind));
        let by_backup = offers(|kind| matches!(kind, RemedyKind::Backup { .. }));
        let Some(found) = self.main() else {
            return match self.cut_off.is_empty() {
                _ if by_backup => Verdict::BackupOnly,
                true => Verdict::Nothing,
                false => Verdict::StartsBefore,
            };
        };
        let missing = found
            .needed
            .map_or(0, |needed| needed.saturating_sub(self.size - found.start));
        if found.header.is_none() && missing > 0 {
            return Verdict::CutOff(missing);
        }
        if found.header.is_none() {
            return if by_backup { Verdict::BackupOnly } else { Verdict::Lost };
        }
        let (usable, damaged) = (
            found.usable_keyslots(),
            found.keyslots.iter().any(|keyslot| !keyslot.is_intact()),
        );
        if usable.is_empty() && !found.keyslots.is_empty() {
            return if by_backup {
                Verdict::BackupOnly
            } else {
                Verdict::NoKeyslot
            };
        }
        if found.start != self.from {
            let table = self.table.as_ref();
            let in_partition = |found: &&Found| table.is_some_and(|table| table.at(found.start).is_some());
            let sound = |found: &&Found| found.is_whole() && !found.usable_keyslots().is_empty();
            return match self
                .found
                .iter()
                .filter(|found| found.header.is_some())
                .all(|found| in_partition(&found) && sound(&found))
            {
                true => Verdict::InPartitions(self.found.iter().filter(sound).count()),
                false => Verdict::Elsewhere(found.start),
            };
        }
        if !found.is_whole() {
            return Verdict::Repairable;
        }
        match &found.data {
            Some(data) if data.missing > 0 => Verdict::CutOff(data.missing),
            _ if damaged => Verdict::SomeKeyslots(usable),
            _ => Verdict::Sound,
        }
    }
}

impl Found {
    /// Whether restoring it overwrites what another program has put there.
    pub fn is_overwritten(&self) -> bool {
        let damaged = self.damaged_copies().next().is_some();
        damaged && !self.foreign.is_empty()
    }

    /// Whether a copy is only older than the other.
    pub fn is_stale(&self) -> bool {
        self.copies.iter().any(|copy| copy.condition == Condition::Stale)
    }
}
