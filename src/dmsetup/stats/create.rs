//! `stats create`: regions whose I/O is counted from now on.

use std::ffi::OsString;
use std::io::Write;

use super::region::{self, Group, or_dash, ranges};
use super::{PROGRAM, devices, histogram, name_of, number, size};
use crate::dm::{DeviceId, Which};
use crate::dmsetup::error::Failure;
use crate::dmsetup::options::Opt;
use crate::dmsetup::session::{About, Session};

/// What each new region has in common.
struct Wishes {
    start: u64,
    /// All of the device where 0.
    length: u64,
    areas: Areas,
    /// Histogram and precision, as the kernel takes them.
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

impl Wishes {
    fn of(session: &Session) -> Result<Self, Failure> {
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
        let mut wanted = Vec::new();
        if precise {
            wanted.push("precise_timestamps".to_owned());
        }
        if !bounds.is_empty() {
            let unit = if precise { 1 } else { 1_000_000 };
            let bounds: Vec<_> = bounds.iter().map(|bound| (bound / unit).to_string()).collect();
            wanted.push(format!("histogram:{}", bounds.join(",")));
        }
        let rising = bounds.windows(2).all(|pair| pair[0] <= pair[1]);
        let program = options.text(Opt::ProgramId).filter(|text| !text.is_empty());
        Ok(Self {
            start: sectors(Opt::Start)?,
            length: sectors(Opt::Length)?,
            areas,
            options: match (rising, wanted.len()) {
                (false, _) => String::new(),
                (_, 0) => "0".into(),
                (_, count) => format!("{count} {}", wanted.join(" ")),
            },
            program: program.unwrap_or_else(|| PROGRAM.into()),
            user_data: options.text(Opt::UserData).unwrap_or_default(),
        })
    }

    /// Makes one region, says so, and returns its number.
    fn make(&self, session: &Session, id: &DeviceId, name: &str, start: u64, length: u64) -> Result<u64, Failure> {
        let failed = format!("{name}: Could not create statistics region.");
        if self.options.is_empty() {
            return Err(Failure::because(format_args!(
                "Histogram boundaries must be in order of increasing magnitude.\n{failed}"
            )));
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
        let answer = region::say(session, id, &message).map_err(|failure| failure.and(&failed))?;
        let number = answer.trim();
        writeln!(
            session.out(),
            "{name}: Created new region with {areas} area(s) as region ID {number}"
        )?;
        number
            .parse()
            .map_err(|_| Failure::because(format_args!("The kernel gave no number: {number}")))
    }
}

pub(super) fn create(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    if session.options.has(Opt::FileMap) {
        return Err(Failure::because(
            "Regions that follow a file are Debian's dmstats' alone. Use --start and --length, or --segments.",
        ));
    }
    let wishes = Wishes::of(session)?;
    for id in devices(session, words, false)? {
        let (info, table) = session.dm()?.table(&id, Which::Live).about(&id)?;
        let name = name_of(session, &id, &info.name);
        let whole = table.size().map_or(0, |size| size.get());
        if !session.options.has(Opt::Segments) {
            let length = if wishes.length == 0 { whole } else { wishes.length };
            wishes.make(session, &id, &name, wishes.start, length)?;
            continue;
        }
        let mut members = Vec::new();
        for line in table.lines() {
            members.push(wishes.make(session, &id, &name, line.start.get(), line.length.get())?);
        }
        if session.options.has(Opt::NoGroup) || members.is_empty() {
            continue;
        }
        group_new(session, &id, &wishes, members)?;
    }
    Ok(())
}

/// Puts regions that were just made together.
fn group_new(session: &Session, id: &DeviceId, wishes: &Wishes, mut members: Vec<u64>) -> Result<(), Failure> {
    members.sort_unstable();
    let alias = session.options.text(Opt::Alias).unwrap_or_default();
    let list: Vec<_> = members.iter().map(u64::to_string).collect();
    let there = region::list(session, id, Some(&wishes.program))?;
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
    first.group = Some(Group { alias, members });
    region::keep(session, id, &first)?;
    let (list, number) = (list.join(","), first.id);
    writeln!(session.out(), "Grouped regions {list} as group ID {number}{named}")?;
    Ok(())
}
