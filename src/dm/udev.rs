//! Cookies: how a program that changes a device waits until udev has made its links.
//!
//! A cookie is a System V semaphore whose key begins with [`MAGIC`]. It starts at 1, the program adds 1 for each
//! request that makes a uevent and gives the key's lower half to the kernel, which puts it into the event's
//! `DM_COOKIE`; udev's rules end with `dmsetup udevcomplete $DM_COOKIE`, which takes 1 away; the program takes its own 1
//! back, waits for zero and removes the semaphore. The upper half of `DM_COOKIE` has flags for udev's rules.
//!
//! Without a udev that would complete a cookie, none is made, and every wait has a limit.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use super::error::DmError;
use super::names::DeviceName;
use super::nodes::{self, NodeOwner};
use super::semaphore::{self, Semaphore};
use crate::block_device::DevNo;
use crate::log;

/// The upper half of every cookie's key.
pub const MAGIC: u16 = 0x0d4d;
/// How long udev may take, unless a [`UdevPolicy`] says otherwise.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(10);

/// How long a cookie is at 0 without a waiting process before it counts as left behind by a killed one.
const ABANDONED: Duration = Duration::from_secs(60);

/// Instructions to udev's rules for the events of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdevFlags(u16);

impl UdevFlags {
    /// udev makes no node in `/dev/mapper`: the requester does.
    pub const DISABLE_DM_RULES: Self = Self(0x0001);
    /// No rules of the subsystem that the UUID names.
    pub const DISABLE_SUBSYSTEM_RULES: Self = Self(0x0002);
    /// No links in `/dev/disk`.
    pub const DISABLE_DISK_RULES: Self = Self(0x0004);
    /// No other rules: no program may probe the device.
    pub const DISABLE_OTHER_RULES: Self = Self(0x0008);
    /// Links give way to those of other devices.
    pub const LOW_PRIORITY: Self = Self(0x0010);
    /// Nodes are udev's alone: none are made by hand.
    pub const DISABLE_LIBRARY_FALLBACK: Self = Self(0x0020);
    /// The event comes from a program like this one, and not from a `udevadm trigger`.
    pub const PRIMARY_SOURCE: Self = Self(0x0040);
    /// The flags for a device that only this program should see.
    pub const PRIVATE: Self =
        Self(Self::DISABLE_SUBSYSTEM_RULES.0 | Self::DISABLE_DISK_RULES.0 | Self::DISABLE_OTHER_RULES.0);

    /// The flags of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has all flags of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits, as in the upper half of `DM_COOKIE`.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The flags in a `DM_COOKIE`.
    pub const fn of_cookie(cookie: u32) -> Self {
        Self((cookie >> 16) as u16)
    }
}

/// Why no one is asked to complete a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoUdev {
    /// No udevd runs.
    NotRunning,
    /// `DM_DISABLE_UDEV` is set.
    Disabled,
    /// udevd runs in another IPC namespace, where our semaphores are not seen.
    OtherNamespace,
    /// The kernel has no System V semaphores.
    NoSemaphores,
    /// The caller does not want to wait.
    NotWanted,
}

/// The program that completes our requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdevMode {
    /// A cookie for each operation, waited for.
    Sync,
    /// The cookie with this key, which its maker waits for.
    Shared(u32),
    /// No one: nodes are made by hand.
    Off(NoUdev),
}

/// The policy for working with udev.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdevPolicy {
    /// The program that completes them.
    pub mode: UdevMode,
    /// The flags for the rules.
    pub flags: UdevFlags,
    /// The time limit.
    pub limit: Duration,
}

/// The outcome of waiting for udev. Whatever it is, the node in `/dev/mapper` has been checked since. A udev that is late
/// is reported through [`crate::log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdevOutcome {
    /// udev has done its part.
    Done,
    /// It was not waited for: the cookie is another program's, or there is no udev.
    NotAwaited,
    /// It did not finish in time.
    TimedOut(Duration),
    /// Waiting failed.
    Failed(Errno),
}

impl UdevPolicy {
    /// The policy that this system and the environment (`DM_DISABLE_UDEV`, `DM_UDEV_COOKIE`) call for.
    pub fn detect() -> Self {
        let mode = match no_udev() {
            Some(reason) => UdevMode::Off(reason),
            None => cookie_of_environment().map_or(UdevMode::Sync, UdevMode::Shared),
        };
        log::debug(format_args!(
            "udev: {}",
            match mode {
                UdevMode::Sync => "it is waited for.",
                UdevMode::Shared(_) => "it answers to the cookie in DM_UDEV_COOKIE.",
                UdevMode::Off(NoUdev::NotRunning) => "it does not run.",
                UdevMode::Off(NoUdev::Disabled) => "DM_DISABLE_UDEV is set.",
                UdevMode::Off(NoUdev::OtherNamespace) => "it runs in another IPC namespace.",
                UdevMode::Off(NoUdev::NoSemaphores) => "the kernel has no semaphores.",
                UdevMode::Off(NoUdev::NotWanted) => "it is not waited for.",
            }
        ));
        Self {
            mode,
            // Nodes are checked when udev is done in any case; its records should match those of libdevmapper.
            flags: UdevFlags::DISABLE_LIBRARY_FALLBACK,
            limit: DEFAULT_LIMIT,
        }
    }

    /// The same with more flags.
    #[must_use]
    pub fn with_flags(self, flags: UdevFlags) -> Self {
        Self {
            flags: self.flags.with(flags),
            ..self
        }
    }

    /// Whether udev makes the node and we do not wait for it. Otherwise the node is checked, and made if it is missing,
    /// as soon as the operation is over.
    pub(super) fn leaves_nodes_to_udev(&self) -> bool {
        matches!(self.mode, UdevMode::Shared(_) | UdevMode::Off(NoUdev::NotWanted))
            && !self.flags.contains(UdevFlags::DISABLE_DM_RULES)
    }
}

impl UdevPolicy {
    /// Makes sure that a node is there, unless that is left to udev.
    pub(super) fn look_after_node(&self, name: &DeviceName, number: DevNo, owner: NodeOwner) -> Result<(), DmError> {
        if self.leaves_nodes_to_udev() {
            Ok(())
        } else if self.mode == UdevMode::Sync && !self.flags.contains(UdevFlags::DISABLE_DM_RULES) {
            nodes::ensure_as_udev(name, number, owner)
        } else {
            nodes::ensure(name, number, owner)
        }
    }
}

fn no_udev() -> Option<NoUdev> {
    if env::var_os("DM_DISABLE_UDEV").is_some_and(|value| !value.is_empty()) {
        return Some(NoUdev::Disabled);
    }
    if !Path::new("/run/udev/control").exists() {
        return Some(NoUdev::NotRunning);
    }
    if !in_first_ipc_namespace() {
        return Some(NoUdev::OtherNamespace);
    }
    matches!(Semaphore::open(u32::from(MAGIC) << 16), Err(Errno::ENOSYS)).then_some(NoUdev::NoSemaphores)
}

/// udevd answers events of the whole system from the first IPC namespace; the kernel gives that a fixed number.
fn in_first_ipc_namespace() -> bool {
    const FIRST: &str = "ipc:[4026531839]";
    // Without /proc or without namespaces there is only the one.
    fs::read_link("/proc/self/ns/ipc").map_or(true, |namespace| namespace == Path::new(FIRST))
}

fn cookie_of_environment() -> Option<u32> {
    let text = env::var("DM_UDEV_COOKIE").ok()?;
    let cookie = parse_cookie(&text)?;
    (cookie >> 16 == u32::from(MAGIC)).then_some(cookie)
}

/// A cookie in the forms that dmsetup takes: decimal, `0x` and hexadecimal, or `0` and octal.
pub fn parse_cookie(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

/// A cookie that exists on this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExistingCookie {
    /// The whole key, [`MAGIC`] included.
    pub key: u32,
    /// The semaphore's number.
    pub semaphore: i32,
    /// The value: requests that are not completed, and 1 for the maker.
    pub value: u16,
    /// When it was last added to or taken from, in seconds since 1970; 0 for never.
    pub last_operation: u64,
    /// When it was made, in seconds since 1970.
    pub last_change: u64,
}

/// All cookies of this system.
///
/// # Errors
/// The system's, where `/proc` cannot be read.
pub fn cookies() -> io::Result<Vec<ExistingCookie>> {
    let list = fs::read_to_string("/proc/sysvipc/sem")?;
    let cookies = list.lines().skip(1).filter_map(|line| {
        // key semid perms nsems uid gid cuid cgid otime ctime
        let mut fields = line.split_ascii_whitespace().map(str::parse::<i64>);
        let mut field = |skip: usize| fields.nth(skip)?.ok();
        let (key, semaphore) = (field(0)? as u32, field(0)? as i32);
        let (last_operation, last_change) = (field(6)?.unsigned_abs(), field(0)?.unsigned_abs());
        // One that was removed since the list was read is not listed.
        let value = (key >> 16 == u32::from(MAGIC))
            .then(|| Semaphore::of_id(semaphore).value())?
            .ok()?;
        Some(ExistingCookie {
            key,
            semaphore,
            value,
            last_operation,
            last_change,
        })
    });
    Ok(cookies.collect())
}

/// How many seconds the local time is ahead of UTC at a time in seconds since 1970.
pub(crate) fn ahead_of_utc(time: i64) -> i64 {
    semaphore::ahead_of_utc(time)
}

/// Whether there is such a cookie.
pub fn exists(key: u32) -> bool {
    Semaphore::open(key).is_ok()
}

/// Makes a cookie for several operations at once ([`UdevMode::Shared`]), which [`release`] ends.
///
/// # Errors
/// The system's, where it has no semaphores left.
pub fn create_shared() -> Result<u32, Errno> {
    let (semaphore, low) = create()?;
    semaphore.set(1)?;
    Ok(u32::from(MAGIC) << 16 | u32::from(low))
}

/// Waits until all operations of a cookie are completed, and removes it.
///
/// # Errors
/// `ENOENT` where there is no such cookie, `EAGAIN` where time is up; the cookie is gone in either case.
pub fn release(key: u32, limit: Duration) -> Result<(), Errno> {
    let semaphore = Semaphore::open(key)?;
    let waited = semaphore.add(-1).and_then(|()| semaphore.wait_for_zero(limit));
    semaphore.remove().and(waited)
}

/// Tells waiting programs that udev completed one operation of a cookie. `cookie` may have flags in its upper half.
///
/// # Errors
/// `ENOENT` where there is no such cookie, `EAGAIN` where it has nothing to complete.
pub fn complete(cookie: u32) -> Result<(), Errno> {
    Semaphore::open(u32::from(MAGIC) << 16 | cookie & 0xffff)?.add(-1)
}

/// Removes a cookie whatever its value, which ends all waits for it.
///
/// # Errors
/// `ENOENT` where there is no such cookie.
pub fn destroy(key: u32) -> Result<(), Errno> {
    Semaphore::open(key)?.remove()
}

/// The wait for one operation. [`Cookie::finish`] ends it; one that is dropped leaves no semaphore behind.
#[derive(Debug)]
pub(super) struct Cookie {
    semaphore: Option<Semaphore>,
    /// The lower half of the key, 0 without a cookie.
    low: u16,
    policy: UdevPolicy,
    ours: bool,
}

impl Cookie {
    /// Gets ready for one request that makes a uevent.
    pub(super) fn begin(policy: UdevPolicy) -> Result<Self, Errno> {
        match policy.mode {
            UdevMode::Off(_) => Ok(Self {
                semaphore: None,
                low: 0,
                policy,
                ours: false,
            }),
            UdevMode::Shared(key) => {
                let semaphore = Semaphore::open(key)?;
                semaphore.add(1)?;
                Ok(Self {
                    semaphore: Some(semaphore),
                    low: key as u16,
                    policy,
                    ours: false,
                })
            }
            UdevMode::Sync => {
                let (semaphore, low) = create()?;
                let cookie = Self {
                    semaphore: Some(semaphore),
                    low,
                    policy,
                    ours: true,
                };
                // Ours and the request's. If this process is killed, the value returns to 0, by which `sweep` recognises
                // it.
                semaphore.add_for_now(2)?;
                log::debug(format_args!(
                    "Made the udev cookie {:#x}.",
                    u32::from(MAGIC) << 16 | u32::from(low)
                ));
                Ok(cookie)
            }
        }
    }

    /// The same if a semaphore is available; otherwise nodes are made by hand.
    pub(super) fn begin_or_do_without(policy: UdevPolicy) -> (Self, UdevPolicy) {
        let cookie = Self::begin(policy).unwrap_or_else(|_| {
            let policy = UdevPolicy {
                mode: UdevMode::Off(NoUdev::NoSemaphores),
                ..policy
            };
            Self {
                semaphore: None,
                low: 0,
                policy,
                ours: false,
            }
        });
        let policy = cookie.policy;
        (cookie, policy)
    }

    /// The cookie that the kernel sends along with the event.
    pub(super) fn event_nr(&self) -> u32 {
        let flags = self.policy.flags.with(UdevFlags::PRIMARY_SOURCE).bits();
        (u32::from(flags) << 16) | u32::from(self.low)
    }

    /// Ends the wait. `event` says whether the kernel sent an event at all; if not, it is completed here.
    pub(super) fn finish(mut self, event: bool) -> UdevOutcome {
        let Some(semaphore) = self.semaphore else {
            return UdevOutcome::NotAwaited;
        };
        if !event {
            // A failure is ignored: the wait below then has its limit.
            let _ = semaphore.add(-1);
        }
        if !self.ours {
            self.semaphore = None;
            return UdevOutcome::NotAwaited;
        }
        let waited = semaphore
            .add(-1)
            .and_then(|()| semaphore.wait_for_zero(self.policy.limit));
        let outcome = match waited {
            Ok(()) => UdevOutcome::Done,
            Err(Errno::EAGAIN) => UdevOutcome::TimedOut(self.policy.limit),
            // `dmsetup udevcomplete_all` removed it, to end all waits.
            Err(Errno::EIDRM | Errno::EINVAL) => UdevOutcome::Done,
            Err(errno) => UdevOutcome::Failed(errno),
        };
        log::debug(format_args!(
            "The udev cookie {:#x}: {outcome:?}.",
            u32::from(MAGIC) << 16 | u32::from(self.low)
        ));
        if let UdevOutcome::TimedOut(limit) = outcome {
            log::warn(format_args!(
                "udev did not finish within {} seconds; links in /dev/disk may be missing until it does.",
                limit.as_secs()
            ));
        }
        outcome
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        if let Some(semaphore) = self.semaphore.take() {
            let _ = if self.ours {
                semaphore.remove()
            } else {
                semaphore.add(-1)
            };
        }
    }
}

/// Removes the cookies of processes that were killed before udev was done, if one of them is at least `age` old. A cookie
/// that is still needed is not at 0, or has a waiting process.
fn sweep(age: Duration) {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |t| t.as_secs());
    // One that seems older than the machine's uptime was stamped before the clock was set: its age is unknown.
    let boot = now.saturating_sub(uptime().unwrap_or(0));
    for cookie in cookies().unwrap_or_default() {
        let since = cookie.last_operation.max(cookie.last_change);
        // The key might be another cookie's by now.
        let semaphore = Semaphore::of_id(cookie.semaphore);
        if cookie.value == 0 && since + age.as_secs() <= now && since >= boot && semaphore.waiters() == Ok(0) {
            log::debug(format_args!(
                "Removing the udev cookie {:#x} of a process that is gone.",
                cookie.key
            ));
            // Another process may have done it.
            let _ = semaphore.remove();
        }
    }
}

/// The uptime of the machine in seconds, rounded up.
fn uptime() -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    text.split('.').next()?.parse().ok().map(|seconds: u64| seconds + 1)
}

/// A new semaphore under an unused key.
fn create() -> Result<(Semaphore, u16), Errno> {
    sweep(ABANDONED);
    // The keys need to differ, not to be secret.
    let clock = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |t| t.subsec_nanos());
    let mut low = (clock ^ clock >> 16 ^ process::id()) as u16;
    for _ in 0..u16::MAX {
        low = low.wrapping_add(40_503);
        if low == 0 {
            continue;
        }
        match Semaphore::create(u32::from(MAGIC) << 16 | u32::from(low)) {
            Err(Errno::EEXIST) => {}
            semaphore => return Ok((semaphore?, low)),
        }
    }
    Err(Errno::ENOSPC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: UdevMode) -> UdevPolicy {
        UdevPolicy {
            mode,
            flags: UdevFlags::default(),
            limit: Duration::from_millis(50),
        }
    }

    fn is_gone(event_nr: u32) -> bool {
        Semaphore::open(u32::from(MAGIC) << 16 | event_nr & 0xffff) == Err(Errno::ENOENT)
    }

    #[test]
    fn a_completed_cookie_is_done_and_gone() {
        let cookie = Cookie::begin(policy(UdevMode::Sync).with_flags(UdevFlags::PRIVATE)).expect("a semaphore");
        let event_nr = cookie.event_nr();
        assert_eq!(UdevFlags::of_cookie(event_nr).bits(), 0x4e);
        let key = u32::from(MAGIC) << 16 | event_nr & 0xffff;
        let listed = cookies()
            .expect("/proc")
            .into_iter()
            .find(|cookie| cookie.key == key)
            .expect("the cookie");
        assert_eq!(listed.value, 2);
        complete(event_nr).expect("one to take");
        assert_eq!(cookie.finish(true), UdevOutcome::Done);
        assert!(is_gone(event_nr));
    }

    #[test]
    fn an_uncompleted_cookie_ends_in_time() {
        let cookie = Cookie::begin(policy(UdevMode::Sync)).expect("a semaphore");
        let event_nr = cookie.event_nr();
        assert_eq!(cookie.finish(true), UdevOutcome::TimedOut(Duration::from_millis(50)));
        assert!(is_gone(event_nr));
    }

    #[test]
    fn without_an_event_nothing_is_waited_for() {
        let cookie = Cookie::begin(policy(UdevMode::Sync)).expect("a semaphore");
        assert_eq!(cookie.finish(false), UdevOutcome::Done);
        let cookie = Cookie::begin(policy(UdevMode::Sync)).expect("a semaphore");
        let event_nr = cookie.event_nr();
        drop(cookie);
        assert!(is_gone(event_nr));
    }

    /// The other half of the test below, in a process of its own.
    #[test]
    #[ignore = "ends the process"]
    fn a_process_that_is_killed_with_a_cookie() {
        let cookie = Cookie::begin(policy(UdevMode::Sync)).expect("a semaphore");
        println!("cookie={}", cookie.event_nr() & 0xffff);
        process::abort();
    }

    #[test]
    fn the_cookie_of_a_killed_process_is_swept() {
        let child = process::Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "--ignored", "--nocapture"])
            .arg("dm::udev::tests::a_process_that_is_killed_with_a_cookie")
            .output()
            .expect("started");
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        let low = text.split("cookie=").nth(1).and_then(|rest| rest.lines().next());
        let low: u32 = low.and_then(|low| low.parse().ok()).expect("its cookie");
        let key = u32::from(MAGIC) << 16 | low;
        let semaphore = Semaphore::open(key).expect("it stays");
        assert_eq!(semaphore.value(), Ok(0));
        sweep(ABANDONED);
        assert!(exists(key), "it may be somebody's who has just made it");
        // One that is waited for is not at 0, and stays.
        let other = create_shared().expect("a semaphore");
        sweep(Duration::ZERO);
        assert!(!exists(key));
        assert!(exists(other));
        destroy(other).expect("it is there");
    }

    #[test]
    fn a_shared_cookie_stays_with_its_maker() {
        let key = create_shared().expect("a semaphore");
        let semaphore = Semaphore::open(key).expect("the semaphore");
        let shared = policy(UdevMode::Shared(key));
        let cookie = Cookie::begin(shared).expect("the semaphore");
        assert_eq!(semaphore.value(), Ok(2));
        assert_eq!(cookie.finish(true), UdevOutcome::NotAwaited);
        assert_eq!(semaphore.value(), Ok(2));
        drop(Cookie::begin(shared).expect("the semaphore"));
        assert_eq!(semaphore.value(), Ok(2));
        complete(key).expect("one to take");
        assert_eq!(release(key, Duration::from_millis(50)), Ok(()));
        assert!(matches!(Cookie::begin(shared), Err(Errno::ENOENT)));
    }

    #[test]
    fn cookies_are_read_as_dmsetup_reads_them() {
        assert_eq!(parse_cookie("0xd4d1234"), Some(0x0d4d_1234));
        assert_eq!(parse_cookie("223154740"), Some(0x0d4d_1234));
        assert_eq!(parse_cookie("010"), Some(8));
        assert_eq!(parse_cookie("0"), Some(0));
        assert_eq!(parse_cookie("x"), None);
    }
}
