//! Removing devices.

use std::thread;
use std::time::{Duration, Instant};

use super::{DeviceId, DeviceInfo, Dm, Removal, RemoveOptions};
use crate::dm::command::{Command, flags};
use crate::dm::error::DmError;
use crate::dm::ioctl::Request;
use crate::dm::nodes;
use crate::dm::udev::UdevMode;
use crate::log;

/// How long a removal is tried again while another process, most often a udev rule, has the device open.
const REMOVE_RETRY_LIMIT: Duration = Duration::from_secs(5);
/// The least number of tries: on a busy machine the process that has the device open is slow too.
const REMOVE_ATTEMPTS: u32 = 100;
const REMOVE_RETRY_PAUSE: Duration = Duration::from_millis(50);

impl Dm {
    /// Removes a device.
    ///
    /// # Errors
    /// Of the kind `Busy` where it is in use, `NotFound` where it does not exist.
    pub fn remove(&self, id: &DeviceId, options: RemoveOptions) -> Result<Removal, DmError> {
        // The node has to be found by name when the device can no longer be asked for it.
        let before = self.info(id).map_err(|error| error.during(Command::Remove))?;
        let started = Instant::now();
        let mut attempts = 0;
        let deferred = if options.deferred { flags::DEFERRED_REMOVE } else { 0 };
        loop {
            attempts += 1;
            let (cookie, _) = self.cookie();
            let request = Request {
                event_nr: cookie.event_nr(),
                ..Request::default()
            };
            match self.on(Command::Remove, id, deferred, request, |reply| Ok((reply.flags, ()))) {
                Ok((flags, ())) => {
                    let udev = cookie.finish(flags & flags::UEVENT_GENERATED != 0);
                    if flags & flags::DEFERRED_REMOVE != 0 {
                        return Ok(Removal::Deferred);
                    }
                    self.forget_node(&before)?;
                    return Ok(Removal::Removed(udev));
                }
                Err(error)
                    if error.is_busy()
                        && options.retry
                        && (attempts < REMOVE_ATTEMPTS || started.elapsed() < REMOVE_RETRY_LIMIT) =>
                {
                    drop(cookie);
                    log::debug(format_args!("{} is in use: trying again.", before.name));
                    thread::sleep(REMOVE_RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes the node, unless a new device has come under the same name meanwhile.
    fn forget_node(&self, gone: &DeviceInfo) -> Result<(), DmError> {
        if matches!(self.udev.mode, UdevMode::Shared(_)) {
            return Ok(());
        }
        if self.info(&DeviceId::Name(gone.name.clone())).is_ok() {
            return Ok(());
        }
        nodes::remove(&gone.name, gone.number)
    }

    /// Cancels a deferred removal.
    ///
    /// # Errors
    /// `ENXIO` or `EINVAL` where none was scheduled, as the kernel reports it.
    pub fn cancel_deferred_remove(&self, id: &DeviceId) -> Result<(), DmError> {
        self.message(id, 0, b"@cancel_deferred_remove").map(drop)
    }

    /// Removes every unused device.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn remove_all(&self, deferred: bool) -> Result<(), DmError> {
        let flags = if deferred { flags::DEFERRED_REMOVE } else { 0 };
        self.control.call(
            Command::RemoveAll,
            &Request {
                flags,
                ..Request::default()
            },
            "",
            |_| Ok(()),
        )
    }
}
