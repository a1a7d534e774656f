//! `stats list` and `stats report`: the regions, and their counters.

use std::ffi::OsString;
use std::time::Instant;

use super::arguments::program;
use super::group::first_of;
use super::histogram::Style;
use super::region::{self, Counters, Region};
use super::row::{Form, Object, StatsRow};
use super::size::Unit;
use crate::dm::DeviceId;
use crate::dmsetup::device_report;
use crate::dmsetup::device_row::DeviceRow;
use crate::dmsetup::error::Failure;
use crate::dmsetup::ls;
use crate::dmsetup::options::Opt;
use crate::dmsetup::report::{Kind, Needs, Report};
use crate::dmsetup::reports::{self, Repetition};
use crate::dmsetup::session::{About, Session};
use crate::mapping;
use std::time::Duration;

const OBJECT: &str = "stats_name,group_id,region_id,obj_type";
const RATES: &str = "area_id,area_start,area_len,reads_merged_per_sec,writes_merged_per_sec,reads_per_sec,\
    writes_per_sec,read_size_per_sec,write_size_per_sec,avg_request_size,queue_size,util,await,read_await,write_await";

pub(super) fn list(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    run(session, words, false)
}

pub(super) fn report(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    run(session, words, true)
}

/// Which objects have rows.
#[derive(Clone, Copy, Debug)]
struct Shown {
    areas: bool,
    regions: bool,
    groups: bool,
    /// Regions of one area are recognised by that.
    divided_only: bool,
}

impl Shown {
    fn of(session: &Session, with_areas: bool) -> Self {
        let has = |option| session.options.has(option);
        let (areas, regions, groups) = (has(Opt::Area), has(Opt::Region), has(Opt::Group));
        if areas || regions || groups {
            return Self {
                areas,
                regions,
                groups,
                divided_only: false,
            };
        }
        Self {
            areas: with_areas,
            regions: true,
            groups: true,
            divided_only: with_areas,
        }
    }
}

fn run(session: &Session, words: &[OsString], counted: bool) -> Result<(), Failure> {
    let has = |option| session.options.has(option);
    let Some(unit) = Unit::parse(&session.options.text(Opt::Units).unwrap_or_else(|| "h".into())) else {
        return Err(Failure::Report("Invalid --units argument.\n".into()));
    };
    let repetition = Repetition::of(session)?;
    let with_areas = counted || has(Opt::Verbose);
    let extent = "region_start,region_len,area_count";
    let areas = if with_areas && !counted {
        "area_id,area_start,area_len"
    } else {
        "area_len"
    };
    let columns = match (counted, has(Opt::Histogram)) {
        (false, false) => format!("{OBJECT},{extent},{areas},program_id"),
        (false, true) => format!("{OBJECT},{extent},{areas},hist_bins,hist_bounds"),
        (true, false) => format!("{OBJECT},{RATES}"),
        (true, true) => {
            let counts = if has(Opt::Relative) {
                "hist_percent_bounds"
            } else {
                "hist_count_bounds"
            };
            format!("{OBJECT},{extent},{areas},util,await,{counts}")
        }
    };
    let kind = Kind {
        columns: &columns,
        sort: "",
        all: match counted {
            true => |needs| matches!(needs, Needs::Stats | Needs::Region),
            false => |needs| needs == Needs::Region,
        },
    };
    let Some(mut report) = reports::begin(session, &kind)? else {
        return Ok(());
    };
    let form = Form {
        unit,
        style: Style {
            units: !has(Opt::NoTimeSuffix),
            aligned: !has(Opt::NoHeadings),
        },
    };
    let shown = Shown::of(session, with_areas);
    let mut since: Option<Instant> = None;
    repetition.each(session, |_| {
        let now = Instant::now();
        let time = since.replace(now).map_or(repetition.interval, |since| now - since);
        let outcome = each_device(session, words, |device, id| {
            one_device(session, &mut report, device, id, shown, form, counted.then_some(time))
        });
        outcome.and_then(|()| reports::show(session, &mut report))
    })
}

fn each_device(
    session: &Session,
    words: &[OsString],
    mut one: impl FnMut(&DeviceRow<'_>, &DeviceId) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let named = session.devices(words)?;
    for id in &named {
        one(&DeviceRow::asked(session, id, None, false)?, id)?;
    }
    if named.is_empty() {
        let all = session.all()?;
        if all.is_empty() {
            session.say(ls::NO_DEVICES)?;
        }
        for mapping in &all {
            let id = DeviceId::Number(mapping.number);
            let outcome = one(&DeviceRow::listed(session, mapping, None, false), &id);
            // A device that was removed since it was listed is no failure.
            if outcome.is_err() && mapping::find(session.dm()?, &id).about(&id)?.is_some() {
                return outcome;
            }
        }
    }
    Ok(())
}

fn one_device(
    session: &Session,
    report: &mut Report,
    device: &DeviceRow<'_>,
    id: &DeviceId,
    shown: Shown,
    form: Form,
    time: Option<Duration>,
) -> Result<(), Failure> {
    let regions = region::list(session, id, program(session).as_deref())?;
    let mut counters: Vec<Vec<Counters>> = Vec::new();
    for region in &regions {
        counters.push(match time {
            Some(_) => region::take(session, id, region)?,
            None => Vec::new(),
        });
    }
    let sum = |areas: &[Counters]| {
        let mut sum = Counters::default();
        areas.iter().for_each(|area| sum.add(area));
        sum
    };
    let mut add = |region: &Region, object: Object, extent: (u64, u64), counted: Counters| {
        let row = StatsRow {
            device,
            region,
            object,
            group: first_of(&regions, region.id),
            extent,
            counted: time.map(|time| (counted, time)),
            form,
        };
        device_report::add(session, report, &row)?
    };
    let whole = |region: &Region| (region.start, region.length);
    let all = || regions.iter().zip(&counters);
    if shown.areas {
        for (region, counters) in all() {
            for area in 0..region.areas() {
                let counted = usize::try_from(area).ok().and_then(|area| counters.get(area));
                add(
                    region,
                    Object::Area(area),
                    whole(region),
                    counted.cloned().unwrap_or_default(),
                )?;
            }
        }
    }
    if shown.regions {
        for (region, counters) in all().filter(|(region, _)| !shown.divided_only || region.areas() > 1) {
            add(region, Object::Region, whole(region), sum(counters))?;
        }
    }
    if shown.groups {
        for (first, group) in regions
            .iter()
            .filter_map(|region| Some((region, region.group.as_ref()?)))
        {
            let members = || all().filter(|(region, _)| group.members.contains(&region.id));
            let length = members().fold(0_u64, |sum, (region, _)| sum.saturating_add(region.length));
            let counted: Vec<_> = members().map(|(_, counters)| sum(counters)).collect();
            // A group begins where its first region does, wherever the others lie.
            add(first, Object::Group, (first.start, length), sum(&counted))?;
        }
    }
    Ok(())
}
