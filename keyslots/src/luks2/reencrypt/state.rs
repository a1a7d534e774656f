//! The state of a reencryption, read from validated metadata, with the rules that only a program needs which continues it.
//!
//! Linear in the size of the metadata, whatever they say. Not for: the size of the data device, see `super::plan`.

use std::collections::HashMap;

use super::super::Defect;
use super::super::keyslot::KeyslotKind;
use super::super::metadata::Metadata;
use super::super::segment::{Crypt, Segment, SegmentKind};
use super::placement::Placement;
use super::requirement::{Requirement, Version, is_online};
use super::slot::{Mode, ReencryptKeyslot};
use crate::KeyslotId;
use crate::units::Bytes;

/// The flag of the data as they were.
pub(super) const PREVIOUS: &str = "backup-previous";
/// The flag of the data as they will be.
pub(super) const FINAL: &str = "backup-final";
/// The flag of the data that were moved to make room.
pub(super) const MOVED: &str = "backup-moved-segment";

/// Whether a volume is in reencryption.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// It is not.
    None,
    /// It is.
    Running(Box<Reencryption>),
    /// It is, by this requirement, which cannot be continued as it is.
    Legacy(String),
}

/// How far a reencryption is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Between two zones: the volume may be opened, and the reencryption continued.
    Clean,
    /// Interrupted within a zone, which has to be recovered before anything else; or at work at this moment.
    Crash,
    /// All data are converted, and the metadata still name what is not needed any more. Continuing as if it were
    /// [`State::Clean`] would convert all data a second time.
    Finished,
    /// As [`State::Finished`], left by this crate: plaintext must still be wiped, and the volume may not be opened before.
    /// cryptsetup refuses it.
    Wiping,
}

/// What an active segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Data as they were, moved or not.
    Old,
    /// Data that are being converted.
    Hot,
    /// Data that are converted.
    New,
}

/// A reencryption that has begun.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reencryption {
    /// How far it is.
    pub state: State,
    /// The version of its requirement.
    pub version: Version,
    /// The number of its keyslot.
    pub keyslot: KeyslotId,
    /// What is being done, in which order, and how an interruption is survived.
    pub params: ReencryptKeyslot,
    /// The start of the area of its keyslot.
    pub area_offset: Bytes,
    /// The size of this area.
    pub area_size: Bytes,
    /// How the data lie before and after.
    pub placement: Placement,
    /// The data as they were.
    pub previous: Segment,
    /// The data as they will be.
    pub last: Segment,
    /// The data that were moved to make room.
    pub moved: Option<Segment>,
    /// The active segments, in the order of the data.
    pub active: Vec<(Part, Segment)>,
    /// The digest of the old volume key.
    pub old_digest: Option<u32>,
    /// The digest of the new volume key; it is the old one where the key stays.
    pub new_digest: Option<u32>,
    /// The verification digest.
    pub digest: u32,
}

impl Status {
    /// Reads the status from metadata that passed [`super::super::validate`].
    ///
    /// # Errors
    /// The [`Defect`] for which a reencryption cannot be continued.
    pub fn read(metadata: &Metadata) -> Result<Self, Defect> {
        let names = &metadata.config.requirements;
        if names.iter().filter(|name| is_online(name)).count() > 1 {
            return Err(Defect::Reencryption("it has several requirements"));
        }
        let found = names.iter().filter_map(|name| Requirement::parse(name));
        let (marks, mut found): (Vec<_>, Vec<_>) =
            found.partition(|found| matches!(found, Requirement::Wipe | Requirement::Last));
        match (found.pop(), found.pop(), marks.len()) {
            (None, None, 0) => Ok(Self::None),
            (Some(Requirement::Other(name)), None, 0) => Ok(Self::Legacy(name)),
            (Some(Requirement::Online(version)), None, 0 | 1) => {
                let found = Reencryption::read(metadata, version, marks.first())?;
                Ok(Self::Running(Box::new(found)))
            }
            _ => Err(Defect::Reencryption("its requirements do not belong together")),
        }
    }

    /// The reencryption, if it has begun and data may still have to be converted.
    pub fn running(self) -> Option<Reencryption> {
        match self {
            Self::Running(found) => Some(*found),
            _ => None,
        }
    }
}

impl Reencryption {
    fn read(metadata: &Metadata, version: Version, mark: Option<&Requirement>) -> Result<Self, Defect> {
        let wiping = mark == Some(&Requirement::Wipe);
        let segments = Segments::new(metadata)?;
        let mut slots = metadata.keyslots.iter().filter_map(|(&id, slot)| match &slot.kind {
            KeyslotKind::Reencrypt(params) => Some((id, params.clone(), slot.area.offset, slot.area.size)),
            _ => None,
        });
        let no_slot = Defect::Reencryption("it needs exactly one reencrypt keyslot");
        let (keyslot, params, area_offset, area_size) = slots.next().ok_or(no_slot)?;
        let mut digests = metadata
            .digests
            .iter()
            .filter(|(_, digest)| digest.keyslots.contains(&keyslot));
        let digest = match (digests.next(), digests.next()) {
            (Some((&id, digest)), None) if digest.segments.is_empty() => id,
            _ => return Err(Defect::Reencryption("its keyslot needs one digest of its own")),
        };
        let missing = Defect::Reencryption("the backup-final or the backup-previous segment is missing");
        let (previous, old_digest) = segments.backup(PREVIOUS)?.ok_or(missing.clone())?;
        let (last, new_digest) = segments.backup(FINAL)?.ok_or(missing)?;
        let moved = segments.backup(MOVED)?;
        let expected = match params.mode {
            Mode::Reencrypt => (true, true),
            Mode::Encrypt => (false, true),
            Mode::Decrypt => (true, false),
        };
        if (old_digest.is_some(), new_digest.is_some()) != expected {
            return Err(Defect::Reencryption("its mode does not agree with the backup segments"));
        }
        if old_digest == new_digest && previous.is_encrypted_as(last) {
            return Err(Defect::Reencryption("nothing would change"));
        }
        if moved.is_some_and(|(moved, digest)| digest != old_digest || !moved.is_encrypted_as(previous)) {
            return Err(Defect::Reencryption(
                "the moved segment is not encrypted as the data were",
            ));
        }
        let moved = moved.map(|(moved, _)| moved.clone());
        let placement = Placement::of(&params, previous, last, moved.as_ref())?;
        let mut found = Self {
            state: State::Clean,
            version,
            keyslot,
            params,
            area_offset,
            area_size,
            placement,
            previous: previous.clone(),
            last: last.clone(),
            moved,
            active: Vec::new(),
            old_digest,
            new_digest,
            digest,
        };
        found.active = segments.active(&found)?;
        let hot = found.active.iter().filter(|(part, _)| *part == Part::Hot).count();
        found.state = match (hot, found.active.as_slice()) {
            (0, [(Part::New, only)]) if only.offset == found.last.offset => match wiping {
                true => State::Wiping,
                false => State::Finished,
            },
            _ if wiping => {
                return Err(Defect::Reencryption(
                    "it is marked for its last wipe, but its data are not all converted",
                ));
            }
            (0, _) if mark.is_some() => {
                return Err(Defect::Reencryption(
                    "it is marked for its last zone, but no zone is being converted",
                ));
            }
            (0, _) => State::Clean,
            (1, _) => State::Crash,
            _ => return Err(Defect::Reencryption("several segments are in reencryption")),
        };
        Ok(found)
    }

    /// The digests that must name a segment of this part, sorted.
    pub(super) fn digests_of(&self, part: Part) -> Vec<u32> {
        let (old, new) = (self.old_digest, self.new_digest);
        let of = match (part, self.params.mode) {
            (Part::Old, _) => [old, None],
            (Part::New, _) => [new, None],
            (Part::Hot, Mode::Reencrypt) => [old, new],
            (Part::Hot, _) => [new, None],
        };
        let mut ids: Vec<u32> = of.into_iter().flatten().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The backup segment that is encrypted as this part is.
    pub(super) fn of_part(&self, part: Part) -> &Segment {
        match part {
            Part::Old => &self.previous,
            Part::Hot | Part::New => &self.last,
        }
    }
}

/// Whether both are the same reencryption, however far.
pub(super) fn is_of_one(one: &Reencryption, other: &Reencryption) -> bool {
    let as_far = Reencryption {
        state: one.state,
        active: one.active.clone(),
        ..other.clone()
    };
    as_far == *one
}

/// The segments with the digests that name them.
struct Segments<'a> {
    metadata: &'a Metadata,
    digests: HashMap<u32, Vec<u32>>,
}

impl<'a> Segments<'a> {
    fn new(metadata: &'a Metadata) -> Result<Self, Defect> {
        let mut digests: HashMap<u32, Vec<u32>> = HashMap::new();
        for (&id, digest) in &metadata.digests {
            for &segment in &digest.segments {
                digests.entry(segment).or_default().push(id);
            }
        }
        for (&id, segment) in &metadata.segments {
            check(id, segment)?;
        }
        Ok(Self { metadata, digests })
    }

    fn digests_of(&self, id: u32) -> &[u32] {
        self.digests.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The backup segment of this flag, and the digest of its key.
    fn backup(&self, flag: &str) -> Result<Option<(&'a Segment, Option<u32>)>, Defect> {
        let mut flagged = self
            .metadata
            .segments
            .iter()
            .filter(|(_, segment)| has_flag(segment, flag));
        let Some((&id, segment)) = flagged.next() else {
            return Ok(None);
        };
        if let Some((other, _)) = flagged.next() {
            return Err(value(*other, "flags", flag, "stands for another segment already"));
        }
        let tweak = segment.crypt().map_or(0, |crypt| crypt.iv_tweak);
        if tweak != 0 {
            return Err(value(id, "iv_tweak", tweak, "must be 0 where the data start"));
        }
        match (segment.crypt(), self.digests_of(id)) {
            (Some(_), [digest]) => Ok(Some((segment, Some(*digest)))),
            (None, []) => Ok(Some((segment, None))),
            (_, digests) => Err(value(id, "digests", list(digests), "must be one for each encryption")),
        }
    }

    fn active(&self, found: &Reencryption) -> Result<Vec<(Part, Segment)>, Defect> {
        let active = self
            .metadata
            .segments
            .iter()
            .filter(|(_, segment)| !segment.is_backup());
        active
            .map(|(&id, segment)| {
                let digests = self.digests_of(id);
                let is = |part| digests == found.digests_of(part) && segment.is_encrypted_as(found.of_part(part));
                let part = match segment.is_in_reencryption() {
                    true => Some(Part::Hot).filter(|part| is(*part) && segment.size.is_some()),
                    false => [Part::Old, Part::New].into_iter().find(|part| is(*part)),
                };
                let part = part.ok_or_else(|| {
                    let rule = "must be those of the data before, or of the data after";
                    value(id, "digests", list(digests), rule)
                })?;
                Ok((part, segment.clone()))
            })
            .collect()
    }
}

/// The rules of one segment.
fn check(id: u32, segment: &Segment) -> Result<(), Defect> {
    match &segment.kind {
        SegmentKind::Linear | SegmentKind::Crypt(Crypt { integrity: None, .. }) => {}
        SegmentKind::Crypt(_) => return Err(value(id, "integrity", "set", "cannot be reencrypted")),
        _ => return Err(value(id, "type", segment.type_name(), "cannot be reencrypted")),
    }
    if !segment.is_backup() {
        return Ok(());
    }
    match segment.flags.as_slice() {
        [flag] if [PREVIOUS, FINAL, MOVED].contains(&flag.as_str()) => Ok(()),
        flags => Err(value(
            id,
            "flags",
            flags.join(", "),
            "must be one that is known for a backup segment",
        )),
    }
}

fn has_flag(segment: &Segment, flag: &str) -> bool {
    segment.flags.iter().any(|name| name == flag)
}

fn list(ids: &[u32]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}

fn value(id: u32, member: &str, value: impl ToString, rule: &'static str) -> Defect {
    Defect::Value {
        path: format!("segments.{id}.{member}"),
        value: value.to_string(),
        rule,
    }
}
