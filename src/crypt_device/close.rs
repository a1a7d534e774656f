//! Closing a volume, however it was opened.

use std::fs;

use super::CryptError;
use super::active::{find, served};
use crate::block_device::loops_on;
use crate::dm::{DeviceId, DeviceName};
use crate::userspace::{Registry, ServeError};
use crate::volume::{self, Deactivated, VolumeError};

/// How a volume is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloseHow {
    /// At once, or not at all.
    #[default]
    Now,
    /// Where it is in use, when its last user closes it.
    Deferred,
    /// Not any more: a deferred removal is cancelled.
    CancelDeferred,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It is gone.
    Gone,
    /// It is removed when its last user closes it.
    Deferred(DeviceName),
    /// It stays.
    Kept,
}

/// Closes the volume of this name: a mapping, or one that is served without the device-mapper. `needs_table` leaves a
/// device alone that has no table.
///
/// # Errors
/// [`CryptError`].
pub fn close(name: &str, how: CloseHow, needs_table: bool) -> Result<Closed, CryptError> {
    if let Some(served) = served(name) {
        let closed = Registry::open()?.close(&served.name);
        return match closed {
            Err(ServeError::Busy(name)) => Err(CryptError::ServedInUse {
                name,
                loops: fs::metadata(&served.path).map_or_else(|_| Vec::new(), |file| loops_on(&file)),
            }),
            closed => Ok(closed.map(|()| Closed::Gone)?),
        };
    }
    let (dm, name) = find(name)?;
    let info = needs_table.then(|| dm.info(&DeviceId::Name(name.clone())));
    if matches!(info, Some(Ok(info)) if !info.live_table) {
        return Err(VolumeError::NoTable(name.to_string()).into());
    }
    if how == CloseHow::CancelDeferred {
        volume::cancel_deferred(&dm, &name)?;
        return Ok(Closed::Kept);
    }
    Ok(match volume::deactivate(&dm, &name, how == CloseHow::Deferred)? {
        Deactivated::Gone => Closed::Gone,
        Deactivated::Deferred => Closed::Deferred(name),
    })
}
