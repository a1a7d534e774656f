//! `stats create`: regions whose I/O is counted from now on.

use std::ffi::OsString;

use serde_json::json;

use super::arguments::{PROGRAM, devices, name_of, number, one_word};
use super::region::{self, Group, Region, or_dash, ranges};
use super::{filemap, histogram, size};
use crate::dm::{DeviceId, DeviceName, Which};
use crate::dmsetup::error::Failure;
use crate::dmsetup::options::Opt;
use crate::dmsetup::session::{About, Session};
use crate::mapping::describe;

/// The common parameters of new regions.
pub(super) struct Request {
    start: u64,
    /// All of the device where 0.
    length: u64,
    areas: Areas,
    /// Histogram and precision, in the kernel's form; empty if the bounds do not rise.
    options: String,
    program: String,
    user_data: String,
}

/// How a region is divided.
#[derive(Clone, Copy)]
enum Areas {
    Count(u64),
    Sectors(u64),
}

impl Request {
    pub(super) fn of(session: &Session) -> Result<Self, Failure> {
        let options = &session.options;
        let sectors = |option: Opt| {
            let Some(text) = options.text(option) else { return Ok(0) };
            size::sectors(&text)
                .ok_or_else(|| Failure::because(format_args!("Invalid {} argument: \"{text}\"", option.name())))
        };
        let (count, size) = (number(session, Opt::Areas)?, options.has(Opt::AreaSize));
        let areas = match (count, size) {
            (Some(_), true) => return Err(Failure::because("Please specify one of --areas and --areasize.")),
            (_, true) => match sectors(Opt::AreaSize)? {
                0 => Areas::Count(1),
                size => Areas::Sectors(size),
            },
            (count, false) => Areas::Count(count.unwrap_or(1).max(1)),
        };
        let bounds = match options.text(Opt::Bounds) {
            None => Vec::new(),
            Some(text) => histogram::parse(&text)
                .map_err(|bad| Failure::because(format_args!("Invalid character in histogram: {bad}")))?,
        };
        let precise = options.has(Opt::Precise) || histogram::is_fine(&bounds);
        let rising = bounds.windows(2).all(|pair| pair[0] <= pair[1]);
        Ok(Self {
            start: sectors(Opt::Start)?,
            length: sectors(Opt::Length)?,
            areas,
            options: match rising {
                false => String::new(),
                true => kernel_options(precise, &bounds),
            },
            program: one_word(session, Opt::ProgramId)?.unwrap_or_else(|| PROGRAM.into()),
            user_data: one_word(session, Opt::UserData)?.unwrap_or_default(),
        })
    }

    /// Regions like an existing one.
    pub(super) fn like(region: &Region) -> Self {
        Self {
            start: 0,
            length: 0,
            areas: Areas::Count(1),
            options: kernel_options(region.precise, &region.bounds),
            program: or_dash(&region.program).to_owned(),
            user_data: String::new(),
        }
    }

    /// The program that owns the regions.
    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// Makes one region, reports it, and returns its number.
    fn make(
        &self,
        session: &Session,
        (id, device): (&DeviceId, &DeviceName),
        name: &str,
        start: u64,
        length: u64,
    ) -> Result<u64, Failure> {
        let (areas, number) = self
            .region(session, id, start, length)
            .map_err(|failure| failure.and(&format!("{name}: Could not create statistics region.")))?;
        session.tell_each(
            "regions",
            [json!({ "device": describe::name(device), "region_id": number, "area_count": areas })],
        );
        session.say(format!(
            "{name}: Created new region with {areas} area(s) as region ID {number}\n"
        ))?;
        Ok(number)
    }

    /// Makes one region, and returns how many areas it has, and its number.
    pub(super) fn region(
        &self,
        session: &Session,
        id: &DeviceId,
        start: u64,
        length: u64,
    ) -> Result<(u64, u64), Failure> {
        if self.options.is_empty() {
            return Err(Failure::because(
                "Histogram boundaries must be in order of increasing magnitude.",
            ));
        }
        let (step, areas) = match self.areas {
            Areas::Count(1) => (length.to_string(), 1),
            Areas::Count(count) => (format!("/{count}"), count),
            Areas::Sectors(size) => (size.to_string(), length.div_ceil(size)),
        };
        let message = format!(
            "@stats_create {start}+{length} {step} {} {} {}",
            self.options,
            self.program,
            or_dash(&self.user_data)
        );
        let answer = region::say(session, id, &message)?;
        let number = answer.trim();
        match number.parse() {
            Ok(number) => Ok((areas, number)),
            Err(_) => Err(Failure::because(format_args!("The kernel gave no number: {number}"))),
        }
    }
}

/// Histogram and precision in the kernel's form. Bounds are in nanoseconds.
fn kernel_options(precise: bool, bounds: &[u64]) -> String {
    let mut wanted = Vec::new();
    if precise {
        wanted.push("precise_timestamps".to_owned());
    }
    if !bounds.is_empty() {
        let unit = if precise { 1 } else { 1_000_000 };
        let bounds: Vec<_> = bounds.iter().map(|bound| (bound / unit).to_string()).collect();
        wanted.push(format!("histogram:{}", bounds.join(",")));
    }
    match wanted.len() {
        0 => "0".into(),
        count => format!("{count} {}", wanted.join(" ")),
    }
}

pub(super) fn create(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    if session.options.has(Opt::FileMap) {
        return filemap::create(session, words);
    }
    let request = Request::of(session)?;
    for id in devices(session, words, false)? {
        let (info, table) = session.dm()?.table(&id, Which::Live).about(&id)?;
        let name = name_of(session, &id, &info.name);
        let whole = table.size().map_or(0, |size| size.get());
        if !session.options.has(Opt::Segments) {
            let length = if request.length == 0 { whole } else { request.length };
            request.make(session, (&id, &info.name), &name, request.start, length)?;
            continue;
        }
        let mut members = Vec::new();
        for line in table.lines() {
            members.push(request.make(session, (&id, &info.name), &name, line.start.get(), line.length.get())?);
        }
        if session.options.has(Opt::NoGroup) || members.is_empty() {
            continue;
        }
        group_new(session, &id, &request, members)?;
    }
    Ok(())
}

/// Groups regions that were just made.
fn group_new(session: &Session, id: &DeviceId, request: &Request, mut members: Vec<u64>) -> Result<(), Failure> {
    members.sort_unstable();
    let alias = one_word(session, Opt::Alias)?.unwrap_or_default();
    let list: Vec<_> = members.iter().map(u64::to_string).collect();
    let there = region::list(session, id, Some(&request.program))?;
    let Some(mut first) = there.into_iter().find(|region| region.id == members[0]) else {
        return Err(Failure::because(format_args!(
            "Could not create group: region {} went.",
            ranges(&members)
        )));
    };
    let named = match alias.as_str() {
        "" => String::new(),
        alias => format!(" with alias {alias}"),
    };
    let entry = json!({ "group_id": first.id, "regions": members, "alias": alias });
    first.group = Some(Group { alias, members });
    region::keep(session, id, &first)?;
    session.tell_each("groups", [entry]);
    let (list, number) = (list.join(","), first.id);
    Ok(session.say(format!("Grouped regions {list} as group ID {number}{named}\n"))?)
}
