//! How a program ends.

/// How a program ends, as its callers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Success = 0,
    /// Wrong parameters, or any failure without a code of its own.
    Failure = 1,
    /// Wrong passphrase, or not permitted.
    Permission = 2,
    /// Not enough memory.
    OutOfMemory = 3,
    /// The device is not there, or not of the kind that is needed.
    WrongDevice = 4,
    /// It is there already, or in use.
    Busy = 5,
}

impl ExitCode {
    /// What `--verbose` calls it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "wrong or missing parameters",
            Self::Permission => "no permission or bad passphrase",
            Self::OutOfMemory => "out of memory",
            Self::WrongDevice => "wrong device or file specified",
            Self::Busy => "device already exists or device is busy",
        }
    }
}
