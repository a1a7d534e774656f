//! The kernel's keyrings: where a volume key is kept for dm-crypt, and where tokens find passphrases.

mod syscalls;

use std::ffi::{CStr, CString};
use std::io;

use keyslots::secret::Secret;
use nix::errno::Errno;

use self::syscalls::Serial;
use crate::log;

/// The keyring of this thread, which ends with it.
const THREAD: Serial = Serial(-1);
/// The keyring of the session, or its substitute.
const SESSION: Serial = Serial(-3);
/// The keyring of the user.
const USER: Serial = Serial(-4);
/// The keyring of the user's session.
const USER_SESSION: Serial = Serial(-5);

const LOGON_TYPE: &CStr = c"logon";
const USER_TYPE: &CStr = c"user";
const KEYRING_TYPE: &CStr = c"keyring";

/// The largest payload that a key can have.
const MAX_PAYLOAD: usize = 32767;

/// An error of a keyring operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The kernel has no keyrings.
    #[error("the kernel has no keyrings")]
    Unavailable,
    /// There is no such key, or it has expired.
    #[error("the keyring has no key {0:?}")]
    NotFound(String),
    /// There is no such keyring.
    #[error("there is no keyring {0:?}")]
    NoKeyring(String),
    /// The description is invalid.
    #[error("{0:?} cannot describe a key")]
    BadDescription(String),
    /// The kernel refused.
    #[error("the keyring refused to {action} key {description:?}: {errno}")]
    Refused {
        /// The operation.
        action: &'static str,
        /// The key.
        description: String,
        /// The reason.
        errno: Errno,
    },
    /// Out of memory that can be wiped.
    #[error("no memory for a key: {0}")]
    Memory(#[from] io::Error),
}

/// Whether a key can be read back, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// By the kernel alone.
    Logon,
    /// By those with permission.
    User,
}

impl KeyType {
    fn name(self) -> &'static CStr {
        match self {
            Self::Logon => LOGON_TYPE,
            Self::User => USER_TYPE,
        }
    }
}

/// A key in the keyring of this thread; it is removed on drop.
#[derive(Debug)]
pub struct ThreadKey(Serial);

impl Drop for ThreadKey {
    fn drop(&mut self) {
        log::debug(format_args!("Removing key {} from the thread keyring.", self.0.0));
        // It may have been removed already.
        let _ = syscalls::unlink(self.0, THREAD);
    }
}

/// A key in a keyring that outlives this program.
#[derive(Debug)]
pub struct LinkedKey {
    key: Serial,
    keyring: Serial,
}

impl LinkedKey {
    /// Removes it from the keyring.
    pub fn remove(self) {
        // It may have been removed already.
        let _ = syscalls::unlink(self.key, self.keyring);
    }
}

/// Puts a key where dm-crypt finds it, into the keyring of this thread.
///
/// # Errors
/// [`KeyringError::Unavailable`], [`KeyringError::Refused`].
pub fn add_logon_key(description: &str, payload: &[u8]) -> Result<ThreadKey, KeyringError> {
    add(KeyType::Logon, description, payload, THREAD).map(ThreadKey)
}

/// Whether the kernel has keyrings.
pub fn is_available() -> bool {
    !matches!(
        syscalls::search(THREAD, USER_TYPE, c"luksmith:none"),
        Err(Errno::ENOSYS)
    )
}

/// Reads the `user` key of this description, wherever this process can find it.
///
/// # Errors
/// [`KeyringError::NotFound`], [`KeyringError::Unavailable`], [`KeyringError::Refused`].
pub fn read_user_key(description: impl AsRef<[u8]>) -> Result<Secret, KeyringError> {
    let description = description.as_ref();
    read_payload(request(USER_TYPE, description)?, &String::from_utf8_lossy(description))
}

/// Reads a key that is named as keyctl(1) does: `%<type>:<description>`, its number, or, of type `user`, its
/// description alone.
///
/// # Errors
/// As [`read_user_key`]; a `logon` key cannot be read.
pub fn read_key(identifier: &str) -> Result<Secret, KeyringError> {
    let bad = || KeyringError::BadDescription(identifier.to_owned());
    let key = match identifier.strip_prefix('%') {
        Some(typed) => {
            let (kind, description) = typed.split_once(':').ok_or_else(bad)?;
            request(&c_string(kind)?, description)?
        }
        None if !identifier.is_empty() && identifier.bytes().all(|byte| byte.is_ascii_digit()) => {
            Serial(identifier.parse().map_err(|_| bad())?)
        }
        None => request(USER_TYPE, identifier)?,
    };
    read_payload(key, identifier)
}

fn request(kind: &CStr, description: impl AsRef<[u8]>) -> Result<Serial, KeyringError> {
    let name = c_string(&description)?;
    let description = String::from_utf8_lossy(description.as_ref());
    log::debug(format_args!("Looking for the key {description} in the keyrings."));
    syscalls::request_key(kind, &name).map_err(|errno| match errno {
        Errno::ENOKEY | Errno::EKEYREVOKED | Errno::EKEYEXPIRED => KeyringError::NotFound(description.into_owned()),
        other => refused("find", &description)(other),
    })
}

fn read_payload(key: Serial, description: &str) -> Result<Secret, KeyringError> {
    let mut payload = Secret::zeroed(MAX_PAYLOAD)?;
    let len = syscalls::read(key, payload.expose_mut()).map_err(|errno| match errno {
        Errno::ENOKEY | Errno::EKEYREVOKED | Errno::EKEYEXPIRED => KeyringError::NotFound(description.to_owned()),
        other => refused("read", description)(other),
    })?;
    // If it is longer than that, it was not read at all.
    if len > payload.len() {
        return Err(refused("read", description)(Errno::EFBIG));
    }
    payload.truncate(len);
    Ok(payload)
}

/// Puts a key into a keyring that is named as keyctl(1) does: `@t`, `@s`, `@u`, `@us`, `%:<description>`, or a number.
///
/// # Errors
/// [`KeyringError::NoKeyring`], [`KeyringError::Refused`].
pub fn add_to_keyring(
    keyring: &str,
    kind: KeyType,
    description: &str,
    payload: &[u8],
) -> Result<LinkedKey, KeyringError> {
    let keyring = find_keyring(keyring)?;
    let key = add(kind, description, payload, keyring)?;
    Ok(LinkedKey { key, keyring })
}

/// Whether a keyring of this name exists; see [`add_to_keyring`].
///
/// # Errors
/// [`KeyringError::NoKeyring`].
pub fn check_keyring(keyring: &str) -> Result<(), KeyringError> {
    find_keyring(keyring).map(drop)
}

fn find_keyring(name: &str) -> Result<Serial, KeyringError> {
    let missing = || KeyringError::NoKeyring(name.to_owned());
    if let Some(description) = name.strip_prefix("%:").or_else(|| name.strip_prefix("%keyring:")) {
        let description = c_string(description)?;
        let found = syscalls::request_key(KEYRING_TYPE, &description);
        return found
            .or_else(|_| syscalls::search(USER, KEYRING_TYPE, &description))
            .map_err(|_| missing());
    }
    match name {
        "@t" => Ok(THREAD),
        "@s" => Ok(SESSION),
        "@u" => Ok(USER),
        "@us" => Ok(USER_SESSION),
        number => number.parse().map(Serial).map_err(|_| missing()),
    }
}

fn add(kind: KeyType, description: &str, payload: &[u8], keyring: Serial) -> Result<Serial, KeyringError> {
    log::debug(format_args!(
        "Adding the {kind:?} key {description} to keyring {}.",
        keyring.0
    ));
    syscalls::add_key(kind.name(), &c_string(description)?, payload, keyring).map_err(refused("add", description))
}

fn refused(action: &'static str, description: &str) -> impl FnOnce(Errno) -> KeyringError {
    let description = description.to_owned();
    move |errno| match errno {
        Errno::ENOSYS => KeyringError::Unavailable,
        errno => KeyringError::Refused {
            action,
            description,
            errno,
        },
    }
}

fn c_string(description: impl AsRef<[u8]>) -> Result<CString, KeyringError> {
    let description = description.as_ref();
    let bad = || KeyringError::BadDescription(String::from_utf8_lossy(description).into_owned());
    if description.is_empty() {
        return Err(bad());
    }
    CString::new(description).map_err(|_| bad())
}
