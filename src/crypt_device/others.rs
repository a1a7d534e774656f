//! Programs that take no lock on a LUKS1 header: one that has read it before a change may later write it back as it was.
//!
//! So a change waits for the programs that have the header open to end, checks the header once more afterwards, and puts back
//! what an older header has overwritten. If no program has it open, nothing waits.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use keyslots::Error;
use keyslots::header::Header;
use keyslots::luks1::{self, PutBack, RawHeader};
use keyslots::units::Bytes;

use super::{Changing, Event, Observer};
use crate::block_device::{self, Holder};
use crate::header_device::{HeaderDevice, HeaderError};
use crate::same_bytes::{ground, ground_of_range};

/// How long to wait for them to end: they may be deriving a key, or asking for a passphrase.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before reporting it.
const SILENCE: Duration = Duration::from_secs(1);
/// The longest that one search for them may take.
const LOOK: Duration = Duration::from_secs(2);
/// The start of a device, with the LUKS1 header in it and no data.
const START: Bytes = Bytes::new(4096);
const PAUSE: Duration = Duration::from_millis(20);
/// How many times keyslots are put back.
const ATTEMPTS: u32 = 3;

/// Whether to make a change although other programs keep the header open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Make it.
    May,
    /// Refuse it: an older header would cost a key.
    MustNot,
}

impl Changing<'_> {
    /// Runs `action` on the opened device under the exclusive lock. If other programs have a LUKS1 header open there, waits
    /// for them first. `action` learns whether there is one, and calls [`Changing::look_again`] at its end.
    ///
    /// # Errors
    /// [`HeaderError`], or the action's.
    pub fn exclusive<T, E: From<HeaderError>>(
        &self,
        device: &HeaderDevice,
        others: Others,
        action: impl FnOnce(&mut File, bool) -> Result<T, E>,
    ) -> Result<T, E> {
        let deadline = Instant::now() + PATIENCE;
        // Without the lock at first: others who want it need not wait as well.
        if let Ok(mut opened) = device.open(false)
            && is_luks1(&mut opened.file)
        {
            // Ignored: the check under the lock decides.
            drop(wait(device, &opened.file, deadline, self.observer));
        }
        device.exclusive_raw(|file| {
            let was_luks1 = is_luks1(file);
            if was_luks1 {
                let left = wait(device, file, deadline, self.observer);
                // If it is unknown, do not put a key at risk.
                if others == Others::MustNot {
                    expect_nobody(device.path(), left)?;
                }
            }
            action(file, was_luks1)
        })
    }

    /// Checks a changed header once more when the programs that have it open have ended: what differs from `before`, or all of it.
    /// Puts back keyslots that an older header has overwritten, if possible, and reports who still has it open.
    ///
    /// # Errors
    /// [`HeaderError::Luks`]: it is not what was written.
    pub fn look_again(
        &self,
        device: &HeaderDevice,
        file: &mut File,
        header: &Header,
        before: Option<&RawHeader>,
    ) -> Result<(), HeaderError> {
        let path = device.path();
        for _ in 0..ATTEMPTS {
            let deadline = Instant::now() + PATIENCE;
            let (left, back) = match header {
                Header::Luks1(header) => {
                    let left = wait(device, file, deadline, self.observer);
                    (left, header.put_back(file, before)?)
                }
                Header::Luks2(header) => {
                    let left = wait_for(device, file, deadline, self.observer, Whom::NotWaiting);
                    header.expect_written(file)?;
                    (left, PutBack::default())
                }
            };
            for &keyslot in &back.keyslots {
                let over = back.overwritten.contains(&keyslot);
                self.observer.notice(Event::PutBack { keyslot, over });
            }
            for &keyslot in &back.removed {
                self.observer.notice(Event::TakenOut { keyslot });
            }
            if let Some(problem) = back.problem {
                return Err(problem.into());
            }
            if !back.wrote() {
                let left = left.map(|users| users.into_iter().map(Some).collect());
                for user in left.unwrap_or_else(|_| vec![None]) {
                    let user = user.as_ref();
                    self.observer.notice(Event::OpenElsewhere { path, user });
                }
                return Ok(());
            }
        }
        Err(Error::ChangedMeanwhile.into())
    }
}

/// Checks that nobody has a LUKS1 header open who takes no lock, and does not wait.
///
/// # Errors
/// [`HeaderError::OpenElsewhere`], [`HeaderError::OthersUnknown`].
pub(super) fn expect_none(path: &Path, file: &File) -> Result<(), HeaderError> {
    expect_nobody(path, users(file))
}

fn expect_nobody(path: &Path, users: io::Result<Vec<Holder>>) -> Result<(), HeaderError> {
    let path = path.to_owned();
    match users.map(|users| users.into_iter().next()) {
        Ok(None) => Ok(()),
        Ok(Some(user)) => Err(HeaderError::OpenElsewhere { path, user }),
        Err(source) => Err(HeaderError::OthersUnknown { path, source }),
    }
}

/// Whether there is a LUKS1 header, damaged or not.
fn is_luks1(file: &mut File) -> bool {
    !matches!(
        luks1::Header::read(file),
        Err(Error::NotLuks | Error::UnknownVersion(_))
    )
}

/// The programs that still have it open at the end of the wait; an error if that is unknown. Without locks, none is looked for.
fn wait(device: &HeaderDevice, file: &File, deadline: Instant, observer: &dyn Observer) -> io::Result<Vec<Holder>> {
    wait_for(device, file, deadline, observer, Whom::All)
}

/// The programs to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// All.
    All,
    /// All but those that wait for a lock: a program that finds a LUKS2 header waits for ours before it reads more.
    NotWaiting,
}

/// As [`wait`], for some of them.
fn wait_for(
    device: &HeaderDevice,
    file: &File,
    deadline: Instant,
    observer: &dyn Observer,
    whom: Whom,
) -> io::Result<Vec<Holder>> {
    if !device.locks() {
        return Ok(Vec::new());
    }
    let path = device.path();
    let mut silent_until = Some(Instant::now() + SILENCE);
    loop {
        let mut users = match users(file) {
            // A program of another user may end, and then it does not matter what it has open.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && Instant::now() < deadline => {
                thread::sleep(PAUSE);
                continue;
            }
            users => users?,
        };
        if whom == Whom::NotWaiting && !users.is_empty() {
            let waiting = block_device::lock_waiters();
            users.retain(|user| !matches!(user, Holder::Process { pid, .. } if waiting.contains(pid)));
        }
        let now = Instant::now();
        if users.is_empty() || now >= deadline {
            return Ok(users);
        }
        if silent_until.is_some_and(|until| now >= until) {
            silent_until = None;
            for user in &users {
                observer.notice(Event::WaitingFor { path, user });
            }
        }
        thread::sleep(PAUSE);
    }
}

fn users(file: &File) -> io::Result<Vec<Holder>> {
    // What is mapped from the data behind the header is not in its way.
    let ours = ground_of_range(file, Bytes::ZERO, Some(START))?;
    block_device::libcryptsetup_users(Instant::now() + LOOK, move |other| Ok(ours.overlaps(&ground(other)?)))
}
