//! Code that all reports share: their options, and how often they are made.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::error::Failure;
use super::options::Opt;
use super::report::{Kind, Report, Request, Style};
use super::session::Session;

/// The report that the options request; `None` if they ask for help, which is printed.
pub(super) fn begin(session: &Session, kind: &Kind<'_>) -> Result<Option<Report>, Failure> {
    let (columns, sort) = (session.options.text(Opt::Options), session.options.text(Opt::Sort));
    let request = Request {
        columns: columns.as_deref(),
        sort: sort.as_deref(),
        select: session.options.bytes(Opt::Select),
    };
    match Report::new(kind, &request) {
        Ok(report) => Ok(Some(report)),
        Err(error) if error.is_help() => {
            session.complain(error.to_string());
            Ok(None)
        }
        Err(error) => Err(Failure::Report(error.to_string())),
    }
}

/// The layout that the options request.
pub(super) fn style(session: &Session) -> Style<'_> {
    let options = &session.options;
    Style {
        headings: !options.has(Opt::NoHeadings),
        prefixes: options.has(Opt::NamePrefixes),
        quoted: !options.has(Opt::Unquoted),
        fields_as_lines: options.has(Opt::Rows),
        separator: options.bytes(Opt::Separator),
    }
}

/// Lays out the rows so far, and writes them.
pub(super) fn show(session: &Session, report: &mut Report) -> Result<(), Failure> {
    if session.json() {
        session.tell_each("rows", report.take_json());
        return Ok(());
    }
    Ok(session.out().write_all(&report.take_text(&style(session)))?)
}

/// About a hundred years: more would exceed the clock's range.
const LONGEST_INTERVAL: u64 = u32::MAX as u64;

/// The number and the interval of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repetition {
    /// `None` for no end.
    count: Option<u64>,
    /// From the begin of one to the begin of the next.
    pub(super) interval: Duration,
}

impl Repetition {
    /// The values of the options.
    pub(super) fn of(session: &Session) -> Result<Self, Failure> {
        let refused = |text: &str| Failure::CommandLine(text.to_owned());
        // A word that is not a number counts as 0, as in dmsetup.
        let number = |option| session.options.text(option).map(|text| leading_number(&text));
        let interval = match number(Opt::Interval) {
            None => 1,
            Some(seconds) => u64::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds > 0)
                .ok_or_else(|| refused("Interval must be a positive integer."))?
                .min(LONGEST_INTERVAL),
        };
        let count = match number(Opt::Count) {
            None if session.options.has(Opt::Interval) => None,
            None => Some(1),
            Some(count) => match u64::try_from(count) {
                Err(_) => return Err(refused("Count must be zero or greater.")),
                Ok(0) => None,
                Ok(count) => Some(count),
            },
        };
        Ok(Self {
            count,
            interval: Duration::from_secs(interval),
        })
    }

    /// Runs a function that often, with an empty line in between. It ends with the first failure.
    pub(super) fn each(
        self,
        session: &Session,
        mut one: impl FnMut(u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut next = Instant::now();
        let mut done = 0;
        loop {
            let outcome = one(done);
            done += 1;
            outcome?;
            if self.count.is_some_and(|count| done >= count) {
                return Ok(());
            }
            session.write_answer(Ok(()))?;
            session.say("\n")?;
            session.out().flush()?;
            next += self.interval;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
}

/// The whole number that a text begins with.
fn leading_number(text: &str) -> i64 {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number = digits[..end].parse().unwrap_or(if end == 0 { 0 } else { i64::MAX });
    if text.starts_with('-') { -number } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dmsetup::options::Options;

    #[test]
    fn the_longest_interval_has_an_end() {
        let words = ["--interval", "9223372036854775807", "--count", "2"].map(Into::into);
        let (options, _) = Options::parse("dmsetup", &words).expect("good options");
        let session = Session::new(options).expect("standard output");
        let repetition = Repetition::of(&session).expect("a good repetition");
        assert!(Instant::now().checked_add(repetition.interval).is_some());
    }

    #[test]
    fn numbers_are_read_as_the_c_library_does() {
        for (text, number) in [
            ("3", 3),
            (" 3x", 3),
            ("x", 0),
            ("-1", -1),
            ("+2", 2),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(leading_number(text), number, "{text}");
        }
    }
}
