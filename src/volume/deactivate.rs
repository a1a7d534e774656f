//! Removing a mapping.

use super::VolumeError;
use super::integrity::Inner;
use crate::dm::DeviceName;
use crate::dm::{DeviceId, Dm, Removal, RemoveOptions, Which};
use crate::log;
use crate::mapping;

/// The outcome of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deactivated {
    /// It is gone.
    Gone,
    /// It is removed when its last user closes it.
    Deferred,
}

/// Removes the mapping: at once, or with `deferred` as soon as it is unused.
///
/// # Errors
/// [`VolumeError::NotActive`], [`VolumeError::Busy`], or the device-mapper's.
pub fn deactivate(dm: &Dm, name: &DeviceName, deferred: bool) -> Result<Deactivated, VolumeError> {
    let id = DeviceId::Name(name.clone());
    let options = RemoveOptions {
        deferred,
        retry: !deferred,
    };
    log::debug(format_args!(
        "Removing {name}{}.",
        if deferred { " when nobody uses it" } else { "" }
    ));
    let below = dm.deps(&id, Which::Live).unwrap_or_default();
    let inner = Inner::of(dm, name, &below);
    let remove_inner = || match &inner {
        None => Ok(()),
        Some(inner) => dm.remove(&inner.id, options).map(|_| ()),
    };
    match dm.remove(&id, options) {
        Ok(Removal::Removed(_)) => {
            remove_inner()?;
            Ok(Deactivated::Gone)
        }
        Ok(Removal::Deferred) => {
            remove_inner()?;
            Ok(Deactivated::Deferred)
        }
        Err(error) if error.is_not_found() => Err(VolumeError::NotActive(name.to_string())),
        Err(error) if error.is_busy() => Err(VolumeError::Busy {
            name: name.to_string(),
            holders: dm.info(&id).map(|info| mapping::users(&info)).unwrap_or_default(),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Cancels a deferred removal.
///
/// # Errors
/// [`VolumeError::NotActive`], or the device-mapper's.
pub fn cancel_deferred(dm: &Dm, name: &DeviceName) -> Result<(), VolumeError> {
    match dm.cancel_deferred_remove(&DeviceId::Name(name.clone())) {
        Ok(()) => Ok(()),
        Err(error) if error.is_not_found() => Err(VolumeError::NotActive(name.to_string())),
        Err(error) => Err(error.into()),
    }
}
