//! `udevcreatecookie` and its kin: the semaphores by which programs and udev's rules wait for each other.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::error::Failure;
use super::options::{Opt, digits};
use super::session::Session;
use super::shared_cookie::{known, unknown};
use crate::dm::system_text;
use crate::dm::udev::{self, MAGIC, UdevFlags, UdevMode, UdevPolicy};

/// How long udev may take for all the operations of one cookie: udev's own limit for one event.
const RELEASE_LIMIT: Duration = Duration::from_secs(180);

pub(super) fn create(session: &Session, _: &[OsString]) -> Result<(), Failure> {
    if is_off() {
        return Ok(());
    }
    let key = udev::create_shared()
        .map_err(|errno| Failure::because(format_args!("Cannot make a semaphore: {}", system_text(errno))))?;
    session.tell("cookie", || format!("0x{key:08X}").into());
    Ok(session.say(format!("0x{key:08X}\n"))?)
}

pub(super) fn release(_: &Session, words: &[OsString]) -> Result<(), Failure> {
    let typed = match words.first() {
        Some(word) => word.to_string_lossy().into_owned(),
        None => env::var("DM_UDEV_COOKIE").unwrap_or_default(),
    };
    if typed.is_empty() {
        return Err(Failure::because("No udev transaction cookie given."));
    }
    let cookie = parsed(&typed)?;
    if is_off() {
        return Ok(());
    }
    udev::release(known(cookie)?, RELEASE_LIMIT).map_err(|errno| {
        Failure::because(format_args!(
            "Waiting for udev with cookie value {cookie} (0x{cookie:x}) failed: {}",
            system_text(errno)
        ))
    })
}

pub(super) fn flags(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    const NAMED: [&str; 7] = [
        "DISABLE_DM_RULES",
        "DISABLE_SUBSYSTEM_RULES",
        "DISABLE_DISK_RULES",
        "DISABLE_OTHER_RULES",
        "LOW_PRIORITY",
        "DISABLE_LIBRARY_FALLBACK",
        "PRIMARY_SOURCE",
    ];
    let bits = UdevFlags::of_cookie(only(words)?).bits();
    session.tell_each("flags", []);
    for bit in (0..16_usize).filter(|bit| bits & (1 << bit) != 0) {
        let name = match NAMED.get(bit) {
            Some(name) => format!("DM_UDEV_{name}_FLAG"),
            None if bit < 8 => format!("DM_UDEV_FLAG{bit}"),
            None => format!("DM_SUBSYSTEM_UDEV_FLAG{}", bit - 8),
        };
        session.say(format!("{name}='1'\n"))?;
        session.tell_each("flags", [name.into()]);
    }
    Ok(())
}

pub(super) fn complete(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let cookie = only(words)?;
    let completed = udev::complete(cookie);
    session.tell("cookie", || format!("0x{cookie:08X}").into());
    session.say(format!("DM_COOKIE_COMPLETED=0x{cookie:<10x}\n"))?;
    match completed {
        // Without udev, there is no wait.
        Err(_) if !is_off() => Err(unknown(u32::from(MAGIC) << 16 | cookie & 0xffff)),
        _ => Ok(()),
    }
}

pub(super) fn list(session: &Session, _: &[OsString]) -> Result<(), Failure> {
    session.tell_each("cookies", []);
    session.say("Cookie       Semid      Value      Last semop time           Last change time\n")?;
    for cookie in udev::cookies().map_err(unlisted)? {
        session.tell_each(
            "cookies",
            [json!({
                "cookie": format!("0x{:08X}", cookie.key),
                "semaphore": cookie.semaphore,
                "value": cookie.value,
                "last_operation": cookie.last_operation,
                "last_change": cookie.last_change,
            })],
        );
        session.say(format!(
            "0x{:<10x} {:<10} {:<10} {}  {}\n",
            cookie.key,
            cookie.semaphore,
            cookie.value,
            local_date(cookie.last_operation),
            local_date(cookie.last_change)
        ))?;
    }
    Ok(())
}

pub(super) fn complete_all(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let age = match words.first() {
        None => 0,
        Some(word) => digits::<u64>(&word.to_string_lossy())
            .ok_or_else(|| Failure::because("Failed to read age_in_minutes parameter."))?,
    };
    if !session.options.has(Opt::Yes) {
        session.complain(format!(
            "WARNING: This operation will destroy all semaphores {}.\n",
            if age == 0 {
                format!("with keys that have a prefix {MAGIC} (0x{MAGIC:x})")
            } else {
                format!("older than {age} minutes with keys that have a prefix {MAGIC} (0x{MAGIC:x})")
            }
        ));
        if !confirmed(session)? {
            let text = format!("Semaphores with keys prefixed by {MAGIC} (0x{MAGIC:x}) NOT destroyed.\n");
            return Ok(session.say(text)?);
        }
    }
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let (mut destroyed, mut skipped) = (0_u32, 0_u32);
    for cookie in udev::cookies().map_err(unlisted)? {
        if now.saturating_sub(cookie.last_change) < age.saturating_mul(60) {
            skipped += 1;
        } else if udev::destroy(cookie.key).is_ok() {
            destroyed += 1;
        }
    }
    session.tell("destroyed", || destroyed.into());
    session.tell("skipped", || skipped.into());
    let text =
        format!("{destroyed} semaphores with keys prefixed by {MAGIC} (0x{MAGIC:x}) destroyed. {skipped} skipped.\n");
    Ok(session.say(text)?)
}

/// Asks until there is an answer. If no answer is possible, it is no.
fn confirmed(session: &Session) -> Result<bool, Failure> {
    const QUESTION: &str = "Do you really want to continue? [y/n]: ";
    loop {
        if session.json() {
            session.complain(QUESTION);
        }
        session.say(QUESTION)?;
        session.out().flush()?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).unwrap_or(0) == 0 {
            session.say("\n")?;
            return Ok(false);
        }
        match line.trim_start().chars().next() {
            Some('y' | 'Y') => return Ok(true),
            Some('n' | 'N') => return Ok(false),
            _ => {}
        }
    }
}

/// Whether a cookie would never be completed.
fn is_off() -> bool {
    matches!(UdevPolicy::detect().mode, UdevMode::Off(_))
}

fn only(words: &[OsString]) -> Result<u32, Failure> {
    let [word] = words else { return Err(Failure::Arguments) };
    parsed(&word.to_string_lossy())
}

fn parsed(text: &str) -> Result<u32, Failure> {
    udev::parse_cookie(text)
        .filter(|cookie| *cookie != 0)
        .ok_or_else(|| Failure::because("Incorrect cookie value."))
}

fn unlisted(error: io::Error) -> Failure {
    Failure::because(format_args!("Cannot list semaphores: {error}"))
}

/// A time as the C library's `ctime` writes it.
fn local_date(seconds: u64) -> String {
    let ahead = udev::ahead_of_utc(i64::try_from(seconds).unwrap_or(i64::MAX));
    date(seconds.saturating_add_signed(ahead))
}

/// The same in UTC.
fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the odd day of a leap year is their last; 400 years have 146 097 days.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12;
    let year = era * 400 + year + u64::from(month < 2);
    format!(
        "{} {} {date:>2} {:02}:{:02}:{:02} {year}",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date -u -d @N`.
        assert_eq!(date(0), "Thu Jan  1 00:00:00 1970");
        assert_eq!(date(951_782_400), "Tue Feb 29 00:00:00 2000");
        assert_eq!(date(951_868_799), "Tue Feb 29 23:59:59 2000");
        assert_eq!(date(4_102_444_800), "Fri Jan  1 00:00:00 2100");
        assert_eq!(date(1_795_426_488), "Mon Nov 23 09:34:48 2026");
    }
}
