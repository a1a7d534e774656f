//! The system calls of the kernel's keyrings: add_key(2), request_key(2) and keyctl(2), one safe function for each use.
#![allow(unsafe_code)]

use std::ffi::CStr;

use nix::errno::Errno;
use nix::libc::{self, c_long};

/// The serial number of a key, or one of the special keyrings below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Serial(pub(super) i32);

/// add_key(2): a key of type `kind` with this payload in `keyring`.
pub(super) fn add_key(kind: &CStr, description: &CStr, payload: &[u8], keyring: Serial) -> Result<Serial, Errno> {
    // SAFETY: both strings end in a NUL, the payload has the length that is passed, and the kernel copies all three.
    let result = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            kind.as_ptr(),
            description.as_ptr(),
            payload.as_ptr(),
            payload.len(),
            c_long::from(keyring.0),
        )
    };
    serial(result)
}

/// request_key(2) without a call to user space: the key of this type and description that the process can find.
pub(super) fn request_key(kind: &CStr, description: &CStr) -> Result<Serial, Errno> {
    // SAFETY: both strings end in a NUL, and a null pointer means that no helper is called.
    let result = unsafe {
        libc::syscall(
            libc::SYS_request_key,
            kind.as_ptr(),
            description.as_ptr(),
            std::ptr::null::<libc::c_char>(),
            c_long::from(0),
        )
    };
    serial(result)
}

/// KEYCTL_READ: fills `buffer` and returns the length of the payload, which may be more.
pub(super) fn read(key: Serial, buffer: &mut [u8]) -> Result<usize, Errno> {
    let operation = c_long::from(libc::KEYCTL_READ);
    // SAFETY: the kernel writes at most as many bytes as it is told that the buffer has.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            operation,
            c_long::from(key.0),
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    };
    Errno::result(result).map(|len| usize::try_from(len).unwrap_or(0))
}

/// KEYCTL_SEARCH: a key of this type and description in a keyring or below it.
pub(super) fn search(keyring: Serial, kind: &CStr, description: &CStr) -> Result<Serial, Errno> {
    let operation = c_long::from(libc::KEYCTL_SEARCH);
    // SAFETY: both strings end in a NUL.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            operation,
            c_long::from(keyring.0),
            kind.as_ptr(),
            description.as_ptr(),
            c_long::from(0),
        )
    };
    serial(result)
}

/// KEYCTL_UNLINK: removes a key from a keyring.
pub(super) fn unlink(key: Serial, keyring: Serial) -> Result<(), Errno> {
    let operation = c_long::from(libc::KEYCTL_UNLINK);
    // SAFETY: only numbers are passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            operation,
            c_long::from(key.0),
            c_long::from(keyring.0),
        )
    };
    Errno::result(result).map(drop)
}

fn serial(result: c_long) -> Result<Serial, Errno> {
    Errno::result(result).and_then(|serial| i32::try_from(serial).map(Serial).map_err(|_| Errno::EOVERFLOW))
}
