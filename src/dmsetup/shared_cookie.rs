//! A cookie that several commands share; it has to exist.

use super::error::Failure;
use crate::dm::udev::{self, MAGIC};

/// The key of an existing cookie.
pub(super) fn known(cookie: u32) -> Result<u32, Failure> {
    if cookie >> 16 != u32::from(MAGIC) {
        return Err(Failure::because(format_args!(
            "Could not continue to access notification semaphore identified by cookie value {cookie} (0x{cookie:x}). \
             Incorrect cookie prefix."
        )));
    }
    if udev::exists(cookie) {
        Ok(cookie)
    } else {
        Err(unknown(cookie))
    }
}

/// The message for a missing one.
pub(super) fn unknown(key: u32) -> Failure {
    Failure::because(format_args!(
        "Could not find notification semaphore identified by cookie value {key} (0x{key:x})"
    ))
}
