//! The program to speak as, by the name it was started under.

use std::ffi::OsStr;
use std::path::Path;

/// The programs for volumes that Luksmith can act as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persona {
    /// Itself: help by action, remedies, no option without effect.
    Luksmith,
    /// cryptsetup, to the letter.
    Cryptsetup,
}

impl Persona {
    /// From the first word of the command line. Endings such as `cryptsetup.static` do not matter.
    pub fn from_argv0(argv0: &OsStr) -> Self {
        let name = Path::new(argv0).file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.starts_with("cryptsetup") {
            Self::Cryptsetup
        } else {
            Self::Luksmith
        }
    }

    /// The name that it calls itself by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Luksmith => "luksmith",
            Self::Cryptsetup => "cryptsetup",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_decides() {
        let persona = |argv0: &str| Persona::from_argv0(OsStr::new(argv0));
        assert_eq!(persona("/sbin/cryptsetup"), Persona::Cryptsetup);
        assert_eq!(persona("cryptsetup.bin"), Persona::Cryptsetup);
        assert_eq!(persona("/cryptsetup/luksmith"), Persona::Luksmith);
        assert_eq!(persona(""), Persona::Luksmith);
    }
}
