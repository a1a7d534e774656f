//! Progress of a long copy: a bar on a terminal, lines of JSON on request, and nothing elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::terminal_text::can_wipe_line;

/// The interval of the bar.
const BAR_INTERVAL: Duration = Duration::from_millis(200);
/// The interval of JSON lines without `--progress-frequency`.
const JSON_INTERVAL: Duration = Duration::from_secs(1);
const BAR_WIDTH: u64 = 30;

/// The form of progress output.
#[derive(Clone, Copy, Debug)]
pub struct ProgressForm {
    /// As lines of JSON on standard error.
    pub json: bool,
    /// Not at all, unless as JSON.
    pub quiet: bool,
    /// Seconds between two reports; 0 for the usual interval.
    pub frequency: Option<u32>,
}

/// The progress of one copy. The bar is wiped on drop.
#[derive(Debug)]
pub struct Progress {
    /// The path in the JSON.
    device: String,
    total: Option<u64>,
    shown: Shown,
    interval: Duration,
    start: Instant,
    last: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Bar,
    Json,
    Nothing,
}

impl Progress {
    /// For `total` bytes, where that is known.
    pub fn new(form: ProgressForm, device: String, total: Option<u64>) -> Self {
        let shown = if form.json {
            Shown::Json
        } else if io::stderr().is_terminal() && can_wipe_line() && !form.quiet {
            Shown::Bar
        } else {
            Shown::Nothing
        };
        let asked = form.frequency.filter(|&seconds| seconds > 0);
        let interval = match (shown, asked) {
            (_, Some(seconds)) => Duration::from_secs(seconds.into()),
            (Shown::Json, None) => JSON_INTERVAL,
            _ => BAR_INTERVAL,
        };
        let now = Instant::now();
        Self {
            device,
            total,
            shown,
            interval,
            start: now,
            last: now,
        }
    }

    /// `done` bytes are done, of `total`.
    pub fn of(&mut self, done: u64, total: u64) {
        self.total = Some(total);
        self.at(done);
    }

    /// `done` bytes are done.
    pub fn at(&mut self, done: u64) {
        if self.shown == Shown::Nothing || self.last.elapsed() < self.interval {
            return;
        }
        self.last = Instant::now();
        let elapsed = self.start.elapsed();
        // If standard error is closed, the report is lost.
        let _ = match self.shown {
            Shown::Bar => write!(io::stderr(), "\r{}\x1b[K", bar(done, self.total, elapsed)),
            Shown::Json => writeln!(io::stderr(), "{}", self.line(done, elapsed)),
            Shown::Nothing => Ok(()),
        };
    }

    /// The members are those of cryptsetup's `--progress-json`.
    fn line(&self, done: u64, elapsed: Duration) -> serde_json::Value {
        let speed = per_second(done, elapsed);
        json!({
            "device": self.device,
            "device_bytes": done.to_string(),
            "device_size": self.total.unwrap_or(0).to_string(),
            "speed": speed.to_string(),
            "eta_ms": left(done, self.total, speed).map_or(0, |left| left.as_millis()).to_string(),
            "time_ms": elapsed.as_millis().to_string(),
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown == Shown::Bar {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn per_second(done: u64, elapsed: Duration) -> u64 {
    (u128::from(done) * 1000 / elapsed.as_millis().max(1)) as u64
}

fn left(done: u64, total: Option<u64>, speed: u64) -> Option<Duration> {
    let rest = total?.saturating_sub(done);
    Some(Duration::from_secs(rest.checked_div(speed)?))
}

fn bar(done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let speed = per_second(done, elapsed);
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{} done, {}/s", amount(done), amount(speed));
    };
    let part = |of: u64| (u128::from(done.min(total)) * u128::from(of) / u128::from(total)) as u64;
    let full = part(BAR_WIDTH) as usize;
    let rest = left(done, Some(total), speed).map_or(String::new(), |left| {
        format!(", {}:{:02} left", left.as_secs() / 60, left.as_secs() % 60)
    });
    format!(
        "[{}{}] {:3} %  {} of {}, {}/s{rest}",
        "#".repeat(full),
        ".".repeat(BAR_WIDTH as usize - full),
        part(100),
        amount(done),
        amount(total),
        amount(speed),
    )
}

/// A number of bytes in readable form.
pub(crate) fn amount(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(4);
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    match power {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[power as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_long() {
        let gib = 1 << 30;
        let text = bar(gib, Some(4 * gib), Duration::from_secs(10));
        assert_eq!(
            text,
            format!(
                "[{}{}]  25 %  1.0 GiB of 4.0 GiB, 102.3 MiB/s, 0:30 left",
                "#".repeat(7),
                ".".repeat(23)
            )
        );
        assert_eq!(bar(1500, None, Duration::from_secs(1)), "1.4 KiB done, 1.4 KiB/s");
        assert!(bar(0, Some(1), Duration::ZERO).starts_with("[....."));
        // A wrong measurement breaks nothing.
        assert!(bar(u64::MAX, Some(1), Duration::from_secs(1)).contains("100 %"));
        assert_eq!(amount(u64::MAX), "16777215.9 TiB");
        assert_eq!(amount(0), "0 B");
    }
}
