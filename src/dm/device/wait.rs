//! Waiting for a device's events.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{DeviceId, DeviceInfo, Dm};
use crate::dm::command::{Command, Version};
use crate::dm::error::DmError;
use crate::dm::ioctl::Request;

/// How long a wait without a limit sleeps at a time.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Dm {
    /// Waits until the device's event number is past `event_nr`, or the time is up (`None` then).
    ///
    /// # Errors
    /// As [`Dm::info`]; of the kind `Interrupted` when a signal comes.
    pub fn wait(&self, id: &DeviceId, event_nr: u32, limit: Option<Duration>) -> Result<Option<DeviceInfo>, DmError> {
        self.wait_until(id, |now| now > event_nr, limit)
    }

    /// Waits until the device's event number is another than `event_nr`, however long that takes.
    ///
    /// # Errors
    /// As [`Dm::wait`].
    pub fn wait_for_other(&self, id: &DeviceId, event_nr: u32) -> Result<DeviceInfo, DmError> {
        let info = self.info(id).map_err(|error| error.during(Command::Wait))?;
        // A device without a table is removed without an event.
        let id = DeviceId::Number(info.number);
        loop {
            if let Some(info) = self.wait_until(&id, |now| now != event_nr, Some(LOOK_AGAIN))? {
                return Ok(info);
            }
        }
    }

    fn wait_until(
        &self,
        id: &DeviceId,
        done: impl Fn(u32) -> bool,
        limit: Option<Duration>,
    ) -> Result<Option<DeviceInfo>, DmError> {
        const SINCE: Version = Version {
            major: 4,
            minor: 37,
            patch: 0,
        };
        let (kernel, what) = (self.version(), "waiting for an event");
        if kernel < SINCE {
            return Err(DmError::TooOld {
                what,
                kernel,
                needed: SINCE,
            });
        }
        let deadline = limit.map(|limit| Instant::now() + limit);
        // A new name is an event too, and must not hide the device from us.
        let info = self.info(id).map_err(|error| error.during(Command::Wait))?;
        let id = DeviceId::Number(info.number);
        loop {
            // Armed before the query, so that no event falls in between.
            self.control
                .call(Command::ArmPoll, &Request::default(), "", |_| Ok(()))?;
            let info = self.info(&id).map_err(|error| error.during(Command::Wait))?;
            if done(info.event_nr) {
                return Ok(Some(info));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            wait_readable(self.control.fd(), left)?;
        }
    }
}

fn wait_readable(fd: BorrowedFd<'_>, limit: Option<Duration>) -> Result<(), DmError> {
    let timeout = match limit {
        None => PollTimeout::NONE,
        Some(limit) => PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
    };
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout)
        .map(drop)
        .map_err(DmError::Poll)
}
