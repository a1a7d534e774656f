//! Names and UUIDs of device-mapper devices, and the mangling that keeps hostile ones out of `/dev/mapper`.
//!
//! [`DeviceName`] and [`DeviceUuid`] hold what the kernel holds: bytes, not text. What a person types becomes one
//! through a [`Mangling`], and goes back to what was typed through the same.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use smallvec::SmallVec;

use crate::terminal_text::acts;

/// Longest name, in bytes: the kernel's field less its closing NUL.
pub const MAX_NAME: usize = 127;
/// Longest UUID, in bytes: the kernel's field less its closing NUL.
pub const MAX_UUID: usize = 128;

/// Most names are short, and a list of a thousand devices has a thousand of them: those need no allocation.
type Bytes = SmallVec<[u8; 24]>;

/// The name of a device, as the kernel has it: 1 to 127 bytes, with no `/` and no NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(Bytes);

/// The UUID of a device, as the kernel has it: 1 to 128 bytes with no NUL. Not a UUID of RFC 4122: any text, by custom
/// with the owner's name in front (`CRYPT-LUKS2-…`, `LVM-…`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceUuid(Bytes);

/// Why a name or a UUID is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("the {what} is empty")]
    Empty {
        /// `name` or `UUID`.
        what: &'static str,
    },
    /// More bytes than the kernel's field has.
    #[error("the {what} is {len} bytes long, and the limit is {limit}")]
    TooLong {
        /// `name` or `UUID`.
        what: &'static str,
        /// Its length in bytes, after mangling.
        len: usize,
        /// The greatest length.
        limit: usize,
    },
    /// A byte that cannot be in it.
    #[error("the {what} has the byte {byte:#04x}, which is not allowed")]
    BadByte {
        /// `name` or `UUID`.
        what: &'static str,
        /// The byte.
        byte: u8,
    },
    /// `control`, `.` or `..`, which `/dev/mapper` already contains.
    #[error("the name {name} is taken by the system")]
    Reserved {
        /// The name.
        name: &'static str,
    },
    /// Some bytes are mangled and others need it, or `\x` comes without its two digits, so that the name is ambiguous.
    #[error("the {what} has both \\xNN and characters that need it")]
    MixedMangling {
        /// `name` or `UUID`.
        what: &'static str,
    },
}

/// The treatment of characters that udev does not take: anything but letters, digits and `#+-.:=@_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mangling {
    /// Nothing: the name is what was typed.
    None,
    /// Each becomes `\xNN`, the backslash too.
    Hex,
    /// As [`Mangling::Hex`], but a name that is already mangled stays as it is. dmsetup's default.
    #[default]
    Auto,
}

impl Mangling {
    /// The mode by the name that dmsetup gives it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "hex" => Some(Self::Hex),
            "auto" => Some(Self::Auto),
            _ => None,
        }
    }

    fn apply(self, typed: &[u8], what: &'static str) -> Result<Vec<u8>, NameError> {
        let plain = || typed.to_vec();
        match self {
            Self::None => Ok(plain()),
            Self::Hex => Ok(mangle(typed)),
            Self::Auto => match scan(typed) {
                Scan {
                    mangled: true,
                    unsafe_bytes: true,
                    ..
                }
                | Scan { broken: true, .. } => Err(NameError::MixedMangling { what }),
                Scan { unsafe_bytes: true, .. } => Ok(mangle(typed)),
                Scan { .. } => Ok(plain()),
            },
        }
    }

    fn undo(self, held: &[u8]) -> Vec<u8> {
        match self {
            Self::None => held.to_vec(),
            Self::Hex | Self::Auto => unmangle(held),
        }
    }
}

impl DeviceName {
    /// The name with exactly these bytes.
    ///
    /// # Errors
    /// [`NameError`] where the kernel cannot hold it, or `/dev/mapper` has another use for it.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, NameError> {
        const WHAT: &str = "name";
        let name = name.as_ref();
        checked(name, MAX_NAME, WHAT, b"\0/")?;
        for reserved in ["control", ".", ".."] {
            if name == reserved.as_bytes() {
                return Err(NameError::Reserved { name: reserved });
            }
        }
        Ok(Self(Bytes::from_slice(name)))
    }

    /// A name as a person typed it, mangled.
    ///
    /// # Errors
    /// As [`DeviceName::new`], and for a name that is only partly mangled.
    pub fn mangled(typed: impl AsRef<[u8]>, mangling: Mangling) -> Result<Self, NameError> {
        Self::new(mangling.apply(typed.as_ref(), "name")?)
    }

    /// A name that the kernel reported: old kernels let through what [`DeviceName::new`] refuses.
    pub(super) fn from_kernel(name: &[u8]) -> Result<Self, NameError> {
        checked(name, MAX_NAME, "name", b"\0")?;
        Ok(Self(Bytes::from_slice(name)))
    }

    /// The text that a user would type to get this name.
    pub fn unmangled(&self, mangling: Mangling) -> Vec<u8> {
        mangling.undo(&self.0)
    }

    /// The bytes that the kernel holds.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as a part of a path.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

impl DeviceUuid {
    /// The UUID with exactly these bytes.
    ///
    /// # Errors
    /// [`NameError`] where the kernel cannot hold it.
    pub fn new(uuid: impl AsRef<[u8]>) -> Result<Self, NameError> {
        checked(uuid.as_ref(), MAX_UUID, "UUID", b"\0")?;
        Ok(Self(Bytes::from_slice(uuid.as_ref())))
    }

    /// A UUID as a person typed it, mangled.
    ///
    /// # Errors
    /// As [`DeviceUuid::new`], and for a UUID that is only partly mangled.
    pub fn mangled(typed: impl AsRef<[u8]>, mangling: Mangling) -> Result<Self, NameError> {
        Self::new(mangling.apply(typed.as_ref(), "UUID")?)
    }

    /// The text that a user would type to get this UUID.
    pub fn unmangled(&self, mangling: Mangling) -> Vec<u8> {
        mangling.undo(&self.0)
    }

    /// The bytes that the kernel holds.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The program that made the device, by the custom of putting it before the first `-`: `CRYPT`, `LVM`, `mpath`…
    pub fn subsystem(&self) -> Option<&[u8]> {
        let dash = self.0.iter().position(|b| *b == b'-')?;
        Some(&self.0[..dash])
    }
}

fn checked(bytes: &[u8], limit: usize, what: &'static str, forbidden: &[u8]) -> Result<(), NameError> {
    if bytes.is_empty() {
        return Err(NameError::Empty { what });
    }
    if bytes.len() > limit {
        return Err(NameError::TooLong {
            what,
            len: bytes.len(),
            limit,
        });
    }
    // One search for each of the few, rather than one for each byte: long lists have many names.
    match forbidden.iter().find(|byte| bytes.contains(byte)) {
        Some(byte) => Err(NameError::BadByte { what, byte: *byte }),
        None => Ok(()),
    }
}

struct Scan {
    /// There is a `\xNN`.
    mangled: bool,
    /// There are bytes that need mangling.
    unsafe_bytes: bool,
    /// There is a `\x` without two digits behind it.
    broken: bool,
}

fn scan(bytes: &[u8]) -> Scan {
    let mut found = Scan {
        mangled: false,
        unsafe_bytes: false,
        broken: false,
    };
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        if escape(rest).is_some() {
            found.mangled = true;
            rest = &rest[4..];
        } else {
            found.unsafe_bytes |= !is_safe(*first);
            found.broken |= rest.starts_with(b"\\x");
            rest = tail;
        }
    }
    found
}

fn mangle(bytes: &[u8]) -> Vec<u8> {
    let mut mangled = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if is_safe(byte) {
            mangled.push(byte);
        } else {
            mangled.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
    mangled
}

fn unmangle(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        match escape(rest) {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[4..];
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

/// The byte that a `\xNN` at the very start encodes.
fn escape(bytes: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = bytes else {
        return None;
    };
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte)
}

/// Whether all of it is printable ASCII.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Text for a terminal: what is not printable becomes `\xNN`.
pub(crate) struct Printable<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        safe_text(self.0, f)
    }
}

/// Bytes that are text with nothing to escape: most are, and long lists have many of them.
fn plain_text(bytes: &[u8]) -> Option<&str> {
    is_plain(bytes).then(|| std::str::from_utf8(bytes).ok()).flatten()
}

/// Writes bytes so that no terminal acts on them: what is not printable text becomes `\xNN`.
fn safe_text(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(text) = plain_text(bytes) {
        return f.write_str(text);
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if acts(c) {
                let mut utf8 = [0; 4];
                for byte in c.encode_utf8(&mut utf8).bytes() {
                    write!(f, "\\x{byte:02x}")?;
                }
            } else {
                write!(f, "{c}")?;
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

macro_rules! shown_safely {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                safe_text(&self.0, f)
            }
        }

        impl $name {
            /// The displayed form, without a copy where nothing has to be escaped.
            pub fn to_text(&self) -> Cow<'_, str> {
                plain_text(&self.0).map_or_else(|| self.to_string().into(), Cow::from)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    )*};
}

shown_safely!(DeviceName, DeviceUuid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_kernel_can_hold() {
        assert!(DeviceName::new("a".repeat(127)).is_ok());
        assert_eq!(
            DeviceName::new("a".repeat(128)),
            Err(NameError::TooLong {
                what: "name",
                len: 128,
                limit: 127
            })
        );
        assert_eq!(DeviceName::new(""), Err(NameError::Empty { what: "name" }));
        assert_eq!(
            DeviceName::new("a/b"),
            Err(NameError::BadByte {
                what: "name",
                byte: b'/'
            })
        );
        assert_eq!(
            DeviceName::new(b"a\0b"),
            Err(NameError::BadByte { what: "name", byte: 0 })
        );
        assert_eq!(DeviceName::new(".."), Err(NameError::Reserved { name: ".." }));
        assert_eq!(DeviceName::new("control"), Err(NameError::Reserved { name: "control" }));
        assert!(DeviceUuid::new("u".repeat(128)).is_ok());
        assert!(DeviceUuid::new("u".repeat(129)).is_err());
        assert!(DeviceUuid::new("mpath/x").is_ok());
    }

    #[test]
    fn mangling_goes_there_and_back() {
        for (typed, mode, held) in [
            ("a b", Mangling::Auto, "a\\x20b"),
            ("a b", Mangling::Hex, "a\\x20b"),
            ("a b", Mangling::None, "a b"),
            ("a\\x20b", Mangling::Auto, "a\\x20b"),
            ("a\\x20b", Mangling::Hex, "a\\x5cx20b"),
            ("/", Mangling::Auto, "\\x2f"),
            ("ü", Mangling::Auto, "\\xc3\\xbc"),
            ("A-z0#+.:=@_", Mangling::Hex, "A-z0#+.:=@_"),
        ] {
            let name = DeviceName::mangled(typed, mode).expect("a good name");
            assert_eq!(name.as_bytes(), held.as_bytes(), "{typed} {mode:?}");
            if !typed.contains('\\') || mode != Mangling::Auto {
                assert_eq!(name.unmangled(mode), typed.as_bytes(), "{typed} {mode:?}");
            }
        }
        assert_eq!(
            DeviceName::mangled("a\\x20 b", Mangling::Auto),
            Err(NameError::MixedMangling { what: "name" })
        );
        assert_eq!(
            DeviceName::mangled("a\\x2g", Mangling::Auto),
            Err(NameError::MixedMangling { what: "name" })
        );
        // A mangled name may be too long although what was typed is not.
        assert!(matches!(
            DeviceName::mangled(" ".repeat(32), Mangling::Hex),
            Err(NameError::TooLong { len: 128, .. })
        ));
        assert_eq!(unmangle(b"\\x2"), b"\\x2");
        assert_eq!(unmangle(b"\\xzz\\"), b"\\xzz\\");
    }

    #[test]
    fn a_hostile_name_is_printed_without_harm() {
        let name = DeviceName::new(b"a\x1b[31m\xff\xc2\x9bz").expect("the kernel takes it");
        assert_eq!(name.to_string(), "a\\x1b[31m\\xff\\xc2\\x9bz");
        let name = DeviceName::new("a\u{202e}b").expect("the kernel takes it");
        assert_eq!(name.to_string(), "a\\xe2\\x80\\xaeb");
    }

    #[test]
    fn the_subsystem_stands_before_the_first_dash() {
        let uuid = |text: &str| DeviceUuid::new(text).expect("a good UUID");
        assert_eq!(uuid("CRYPT-LUKS2-0123-x").subsystem(), Some(&b"CRYPT"[..]));
        assert_eq!(uuid("plain").subsystem(), None);
    }
}
