//! The kernel's counters of a device: its regions, as `@stats_list` and `@stats_print` report them. The kernel's
//! Documentation/admin-guide/device-mapper/statistics.rst has the format.

use serde_json::{Map, Value, json};

use super::histogram::Bounds;
use crate::dm::{DeviceId, MessageReply};
use crate::dmsetup::error::Failure;
use crate::dmsetup::json;
use crate::dmsetup::report::Id;
use crate::dmsetup::session::{About, Session};
use crate::mapping::describe;

/// The mark of a group's first region.
const GROUP: &str = "DMS_GROUP=";

/// A region of a device, in sectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) id: u64,
    pub(super) start: u64,
    pub(super) length: u64,
    /// The length of its areas; the last may be shorter.
    pub(super) step: u64,
    pub(super) program: String,
    /// The data that its maker stores with it; may be empty.
    pub(super) user_data: String,
    /// The group that it leads.
    pub(super) group: Option<Group>,
    /// Whether times are in nanoseconds.
    pub(super) precise: bool,
    /// Upper bounds of its histogram.
    pub(super) bounds: Bounds,
}

/// Regions that are reported together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Its name; may be empty.
    pub(super) alias: String,
    /// Its regions, rising.
    pub(super) members: Vec<u64>,
}

/// The counters of one area: the thirteen of the kernel with times in nanoseconds, and its histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) numbers: [u64; 13],
    pub(super) histogram: Vec<u64>,
}

impl Region {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let id = words.next()?.strip_suffix(':')?.parse().ok()?;
        let (start, length) = words.next()?.split_once('+')?;
        let step = words.next()?.parse().ok()?;
        let program = words.next()?;
        let (mut group, mut user_data) = (None, words.next()?);
        if let Some((found, rest)) = Group::parse(user_data) {
            (group, user_data) = (Some(found), rest);
        }
        let mut region = Self {
            id,
            start: start.parse().ok()?,
            length: length.parse().ok()?,
            step,
            program: some(program),
            user_data: some(user_data),
            group,
            precise: false,
            bounds: Bounds::new(),
        };
        for word in words {
            if word == "precise_timestamps" {
                region.precise = true;
            } else if let Some(bounds) = word.strip_prefix("histogram:") {
                region.bounds = bounds
                    .split(',')
                    .map(|bound| bound.parse().ok())
                    .collect::<Option<_>>()?;
            }
        }
        if !region.precise {
            region
                .bounds
                .iter_mut()
                .for_each(|bound| *bound = bound.saturating_mul(1_000_000));
        }
        (region.step > 0).then_some(region)
    }

    /// A region without anything special.
    #[cfg(test)]
    pub(super) fn plain(id: u64, start: u64, length: u64) -> Self {
        Self::parse(&format!("{id}: {start}+{length} {length} - -")).expect("a region")
    }

    /// The number of its areas.
    pub(super) fn areas(&self) -> u64 {
        self.length.div_ceil(self.step)
    }

    /// The text that the kernel stores with it.
    fn kept(&self) -> String {
        let data = or_dash(&self.user_data);
        match &self.group {
            Some(group) => format!("{GROUP}{}:{}#{data}", group.alias, ranges(&group.members)),
            None => data.to_owned(),
        }
    }
}

impl Group {
    fn parse(data: &str) -> Option<(Self, &str)> {
        let text = data.strip_prefix(GROUP)?;
        // A name and the maker's data may contain the separator too: it only counts behind the members.
        text.match_indices('#').find_map(|(at, _)| {
            let (alias, members) = text[..at].rsplit_once(':')?;
            let group = Self {
                alias: alias.to_owned(),
                members: members_of(members)?,
            };
            Some((group, &text[at + 1..]))
        })
    }
}

/// The numbers in a list such as `1,3-5`, rising; `None` if it is invalid, or larger than any device's number of
/// regions.
pub(super) fn members_of(list: &str) -> Option<Vec<u64>> {
    let mut members = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || last - first > 65_535 {
            return None;
        }
        members.extend(first..=last);
    }
    members.sort_unstable();
    members.dedup();
    Some(members)
}

/// The same list, in its shortest form.
pub(super) fn ranges(members: &[u64]) -> String {
    let runs = members.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        run => run[0].to_string(),
    });
    runs.collect::<Vec<_>>().join(",")
}

fn some(word: &str) -> String {
    if word == "-" { String::new() } else { word.to_owned() }
}

pub(super) fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

impl Counters {
    fn parse(line: &str, precise: bool) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip(1);
        let mut counters = Self::default();
        for number in &mut counters.numbers {
            *number = words.next()?.parse().ok()?;
        }
        if !precise {
            for place in TIMES {
                counters.numbers[place] = counters.numbers[place].saturating_mul(1_000_000);
            }
        }
        if let Some(counts) = words.next() {
            counters.histogram = counts
                .split(':')
                .map(|count| count.parse().ok())
                .collect::<Option<_>>()?;
        }
        Some(counters)
    }

    /// Adds the counts of another area.
    pub(super) fn add(&mut self, other: &Self) {
        for (number, more) in self.numbers.iter_mut().zip(other.numbers) {
            *number = number.saturating_add(more);
        }
        if self.histogram.is_empty() {
            self.histogram.clone_from(&other.histogram);
        } else {
            let counts = self.histogram.iter_mut().zip(&other.histogram);
            counts.for_each(|(count, more)| *count = count.saturating_add(*more));
        }
    }
}

/// Which of the kernel's counters are times.
const TIMES: [usize; 6] = [3, 7, 9, 10, 11, 12];

/// Sends a message of `@stats_…`. The kernel takes a backslash as an escape, so that a literal one is doubled.
pub(super) fn say(session: &Session, id: &DeviceId, text: &str) -> Result<String, Failure> {
    let text = text.replace('\\', "\\\\");
    Ok(match session.dm()?.message(id, 0, text.as_bytes()).about(id)? {
        MessageReply::Done => String::new(),
        MessageReply::Text(text) => String::from_utf8_lossy(&text).into_owned(),
    })
}

/// The regions of a device that a program made, or all of them.
pub(super) fn list(session: &Session, id: &DeviceId, program: Option<&str>) -> Result<Vec<Region>, Failure> {
    let text = say(session, id, &format!("@stats_list {}", program.unwrap_or_default()))?;
    let regions = text
        .lines()
        .map(|line| Region::parse(line).ok_or_else(|| not_understood(line)));
    regions.collect()
}

/// The counts of each area of a region, which are reset.
pub(super) fn take(session: &Session, id: &DeviceId, region: &Region) -> Result<Vec<Counters>, Failure> {
    let text = say(session, id, &format!("@stats_print_clear {}", region.id))?;
    let areas = text
        .lines()
        .map(|line| Counters::parse(line, region.precise).ok_or_else(|| not_understood(line)));
    areas.collect()
}

/// The counts of each area of a region, from the text that the kernel prints, under their names in reports. Times are in
/// nanoseconds.
pub(super) fn counted(session: &Session, id: &DeviceId, number: u64, text: &str) -> Result<Value, Failure> {
    const NAMES: [Id; 13] = [
        Id::ReadCount,
        Id::ReadsMergedCount,
        Id::ReadSectorCount,
        Id::ReadTime,
        Id::WriteCount,
        Id::WritesMergedCount,
        Id::WriteSectorCount,
        Id::WriteTime,
        Id::InProgressCount,
        Id::IoTicks,
        Id::QueueTicks,
        Id::ReadTicks,
        Id::WriteTicks,
    ];
    let is_precise = list(session, id, None)?
        .iter()
        .any(|region| region.id == number && region.precise);
    let area = |line: &str| {
        let (start, length) = line.split_ascii_whitespace().next()?.split_once('+')?;
        let counters = Counters::parse(line, is_precise)?;
        let mut area = Map::new();
        area.insert("area_start_sectors".into(), json::number(start.parse().ok()?));
        area.insert("area_length_sectors".into(), json::number(length.parse().ok()?));
        for (id, counter) in NAMES.iter().zip(counters.numbers) {
            area.insert(id.name().into(), json::number(counter));
        }
        if !counters.histogram.is_empty() {
            let counts = counters.histogram.into_iter().map(json::number);
            area.insert("histogram".into(), counts.collect());
        }
        Some(Value::Object(area))
    };
    let areas = text.lines().map(|line| area(line).ok_or_else(|| not_understood(line)));
    let areas: Vec<_> = areas.collect::<Result<_, _>>()?;
    let info = session.dm()?.info(id).about(id)?;
    Ok(json!({ "device": describe::name(&info.name), "region_id": number, "areas": areas }))
}

/// Has the kernel store a region's mark.
pub(super) fn keep(session: &Session, id: &DeviceId, region: &Region) -> Result<(), Failure> {
    say(session, id, &format!("@stats_set_aux {} {}", region.id, region.kept())).map(drop)
}

/// Removes a region.
pub(super) fn delete(session: &Session, id: &DeviceId, number: u64) -> Result<(), Failure> {
    say(session, id, &format!("@stats_delete {number}")).map(drop)
}

fn not_understood(line: &str) -> Failure {
    Failure::because(format_args!(
        "The kernel's statistics are not understood: {}",
        crate::dm::Printable(line.as_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_what_the_kernel_tells() {
        let region = Region::parse("7: 8+100 7 dmstats DMS_GROUP=al:1-2,7#mine precise_timestamps histogram:1,2000")
            .expect("a region");
        assert_eq!(
            (region.id, region.start, region.length, region.areas()),
            (7, 8, 100, 15)
        );
        assert!(region.precise);
        assert_eq!(region.bounds, [1, 2000]);
        assert_eq!(region.user_data, "mine");
        assert_eq!(region.kept(), "DMS_GROUP=al:1-2,7#mine");
        let marks = Region::parse("7: 8+100 7 dmstats DMS_GROUP=a#b:c:1-2#my#data").expect("a region");
        let group = marks.group.as_ref().expect("a group");
        assert_eq!((group.alias.as_str(), &group.members[..]), ("a#b:c", &[1, 2][..]));
        assert_eq!(marks.user_data, "my#data");
        assert_eq!(marks.kept(), "DMS_GROUP=a#b:c:1-2#my#data");
        let plain = Region::parse("0: 0+8 8 - - histogram:10").expect("a region");
        assert_eq!((plain.program.as_str(), plain.kept().as_str()), ("", "-"));
        assert_eq!(plain.bounds, [10_000_000]);
        for bad in [
            "",
            "0 0+8 8 a b",
            "0: 8 8 a b",
            "0: 0+8 0 a b",
            "0: 0+8 8 a",
            "0: 0+8 8 a b histogram:x",
        ] {
            assert_eq!(Region::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn counters_are_added() {
        let mut sum = Counters::parse("0+8 1 2 3 4 5 6 7 8 9 10 11 12 13 5:6", false).expect("counters");
        assert_eq!(sum.numbers[3], 4_000_000);
        sum.add(&Counters::parse("8+8 1 0 0 1 0 0 0 0 0 0 0 0 0 1:1", true).expect("counters"));
        assert_eq!((sum.numbers[0], sum.numbers[3]), (2, 4_000_001));
        assert_eq!(sum.histogram, [6, 7]);
        assert_eq!(Counters::parse("0+8 1 2", false), None);
    }

    #[test]
    fn members_are_listed_in_ranges() {
        assert_eq!(members_of("5,1-3").as_deref(), Some(&[1, 2, 3, 5][..]));
        assert_eq!(ranges(&[1, 2, 3, 5]), "1-3,5");
        for bad in ["", "3-1", "x", "0-99999999"] {
            assert_eq!(members_of(bad), None, "{bad}");
        }
    }
}
