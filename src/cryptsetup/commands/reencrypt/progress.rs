//! Progress: under the name of cryptsetup in its words, else as a bar.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::block_device::{DevNo, loop_backing_file};
use crate::console::{Persona, Progress, ProgressForm};
use crate::cryptsetup::commands::context::Context;
use crate::terminal_text::shown;

/// The interval of reports without `--progress-frequency`.
const INTERVAL: Duration = Duration::from_millis(500);

/// The progress of one reencryption.
pub(super) enum Shown {
    Ours(Progress),
    Theirs(Theirs),
}

/// As cryptsetup shows it, on standard output.
pub(super) struct Theirs {
    device: String,
    form: ProgressForm,
    /// Bytes that were converted before this run, and of how many.
    first: Option<u64>,
    of: u64,
    done: u64,
    start: Instant,
    last: Option<Instant>,
}

impl Shown {
    pub(super) fn new(cx: &Context<'_>, device: &Path) -> Self {
        // Scripts know the file behind a loop device.
        let file = DevNo::of_path(device).ok().flatten().and_then(loop_backing_file);
        let device = shown(file.as_deref().unwrap_or(device)).to_string();
        match cx.console.persona() {
            Persona::Cryptsetup => Self::Theirs(Theirs {
                device,
                form: cx.progress_form(),
                first: None,
                of: 0,
                done: 0,
                start: Instant::now(),
                last: None,
            }),
            _ => Self::Ours(Progress::new(cx.progress_form(), device, None)),
        }
    }

    /// `done` bytes of `of` are converted.
    pub(super) fn at(&mut self, done: u64, of: u64) {
        match self {
            Self::Ours(progress) => progress.of(done, of),
            Self::Theirs(theirs) => theirs.at(done, of),
        }
    }

    /// Everything is converted.
    pub(super) fn finish(self) {
        if let Self::Theirs(theirs) = self {
            theirs.finish();
        }
    }
}

impl Theirs {
    fn at(&mut self, done: u64, of: u64) {
        self.first.get_or_insert(done);
        (self.done, self.of) = (done, of);
        let interval = match self.form.frequency.filter(|&seconds| seconds > 0) {
            Some(seconds) => Duration::from_secs(seconds.into()),
            None => INTERVAL,
        };
        let waited = self.last.unwrap_or(self.start).elapsed();
        if done < of && waited >= interval {
            self.last = Some(Instant::now());
            let elapsed = self.start.elapsed();
            let (speed, eta) = self.speed(elapsed);
            if self.form.json {
                self.put_json(elapsed, eta);
            } else {
                let percent = done as f64 * 100.0 / of as f64;
                let text = format!(
                    "Progress: {percent:5.1}%, ETA {}, {}, speed {}",
                    time(eta),
                    written(done),
                    rate(speed)
                );
                self.put(&text, self.form.frequency.is_some());
            }
        }
    }

    fn finish(self) {
        let elapsed = self.start.elapsed();
        let (speed, _) = self.speed(elapsed);
        if self.form.json {
            return self.put_json(elapsed, Duration::ZERO);
        }
        let text = format!(
            "Finished, time {}, {}, speed {}",
            time(elapsed),
            written(self.of),
            rate(speed)
        );
        self.put(&text, true);
    }

    /// Bytes per second, and the time that is left.
    fn speed(&self, elapsed: Duration) -> (f64, Duration) {
        let now = self.done.saturating_sub(self.first.unwrap_or(0)) as f64;
        let speed = now / elapsed.as_secs_f64().max(1e-6);
        let left = self.of.saturating_sub(self.done) as f64 / speed.max(1.0);
        (speed, Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX))
    }

    /// Nobody is left to see it where standard output is closed.
    fn put(&self, text: &str, ends: bool) {
        if self.form.quiet {
            return;
        }
        let clear = if self.form.frequency.is_some() { "" } else { "\x1b[2K\r" };
        let mut out = io::stdout().lock();
        let _ = write!(out, "{clear}{text}{}", if ends { "\n" } else { "" }).and_then(|()| out.flush());
    }

    fn put_json(&self, elapsed: Duration, eta: Duration) {
        let (speed, _) = self.speed(elapsed);
        let line = json!({
            "device": self.device,
            "device_bytes": self.done.to_string(),
            "device_size": self.of.to_string(),
            "speed": (speed as u64).to_string(),
            "eta_ms": eta.as_millis().to_string(),
            "time_ms": elapsed.as_millis().to_string(),
        });
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match minutes {
        0..90 => format!("{minutes:02}m{:02}s", seconds % 60),
        90..2160 => format!("{hours:02}h{:02}m{:02}s", minutes % 60, seconds % 60),
        _ => format!("{:02} days", hours / 24),
    }
}

fn written(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["MiB", "GiB", "TiB", "PiB"];
    // The next unit from four of it on.
    let unit = (0..UNITS.len() - 1)
        .find(|unit| bytes >> (20 + 10 * unit) < 4096)
        .unwrap_or(UNITS.len() - 1);
    format!("{:4} {} written", bytes >> (20 + 10 * unit), UNITS[unit])
}

fn rate(speed: f64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let (mut speed, mut unit) = (speed, 0);
    while speed >= 1024.0 && unit < UNITS.len() - 1 {
        speed /= 1024.0;
        unit += 1;
    }
    format!("{speed:5.1} {}/s", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_rates_are_in_the_words_of_cryptsetup() {
        assert_eq!(time(Duration::from_secs(61)), "01m01s");
        assert_eq!(time(Duration::from_secs(89 * 60 + 59)), "89m59s");
        assert_eq!(time(Duration::from_secs(90 * 60)), "01h30m00s");
        assert_eq!(time(Duration::from_secs(36 * 3600)), "01 days");
        assert_eq!(written(89 << 20), "  89 MiB written");
        assert_eq!(written(5 << 30), "   5 GiB written");
        assert_eq!(written((4 << 30) - 1), "4095 MiB written");
        assert_eq!(rate(0.0), "  0.0 B/s");
        assert_eq!(rate(88.3 * 1048576.0), " 88.3 MiB/s");
        assert_eq!(rate(1e15), "931322.6 GiB/s");
    }
}
