//! Exit codes.

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Success.
    Success,
    /// Wrong parameters, or any failure without a code of its own.
    Failure,
    /// Wrong passphrase, or not permitted.
    Permission,
    /// Not enough memory.
    OutOfMemory,
    /// The device is missing, or of the wrong kind.
    WrongDevice,
    /// It already exists, or is in use.
    Busy,
    /// Of `check`, whose codes are those of monitoring: somebody should look at a device.
    Warning,
    /// Of `check`: a device has lost data, or does not keep them safe.
    Critical,
    /// Of `check`: it cannot be told.
    Unknown,
}

impl ExitCode {
    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure | Self::Warning => 1,
            Self::Permission | Self::Critical => 2,
            Self::OutOfMemory | Self::Unknown => 3,
            Self::WrongDevice => 4,
            Self::Busy => 5,
        }
    }

    /// Its name with `--verbose`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "wrong or missing parameters",
            Self::Permission => "no permission or bad passphrase",
            Self::OutOfMemory => "out of memory",
            Self::WrongDevice => "wrong device or file specified",
            Self::Busy => "device already exists or device is busy",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "cannot tell",
        }
    }
}
