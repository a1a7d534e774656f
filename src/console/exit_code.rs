//! Exit codes.

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Success.
    Success = 0,
    /// Wrong parameters, or any failure without a code of its own.
    Failure = 1,
    /// Wrong passphrase, or not permitted.
    Permission = 2,
    /// Not enough memory.
    OutOfMemory = 3,
    /// The device is missing, or of the wrong kind.
    WrongDevice = 4,
    /// It already exists, or is in use.
    Busy = 5,
}

impl ExitCode {
    /// Its name with `--verbose`.
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
