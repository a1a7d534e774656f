//! How a verb of dmsetup fails: its messages, and what follows them.

use std::fmt;
use std::io;

use crate::console::unreachable_text;
use crate::dm::{Command, DeviceId, DmError, DmErrorKind, system_text};

/// A command that failed. dmsetup's exit code is 1 for all of them.
#[derive(Debug)]
pub(super) enum Failure {
    /// The options mean nothing; the message says why.
    CommandLine(String),
    /// No such verb.
    UnknownCommand,
    /// Nothing was typed at all.
    NoCommand,
    /// Too many or too few words behind the verb.
    Arguments,
    /// The command failed, and this is why, line by line.
    Command(String),
    /// A report that means nothing; the text says why, all lines of it.
    Report(String),
    /// The command failed, and why is said already.
    Silent,
    /// There is no way to the device-mapper at all.
    Unreachable(DmError),
    /// Nobody takes our output.
    Output(io::Error),
}

impl Failure {
    /// A command that failed for one reason.
    pub(super) fn because(message: impl fmt::Display) -> Self {
        Self::Command(message.to_string())
    }

    /// The kernel's refusal, in the words that people know.
    pub(super) fn refused(error: DmError, device: &DeviceId) -> Self {
        match error.kind() {
            DmErrorKind::NoDeviceMapper => Self::Unreachable(error),
            DmErrorKind::Denied if matches!(error, DmError::Control { .. }) => Self::Unreachable(error),
            _ => Self::Command(refusal(&error, &on(device))),
        }
    }

    /// The same with one more line.
    pub(super) fn and(self, line: &str) -> Self {
        match self {
            Self::Command(message) => Self::Command(format!("{message}\n{line}")),
            other => other,
        }
    }

    /// The same for a command that is about no one device.
    pub(super) fn refused_for_all(error: DmError) -> Self {
        match error.kind() {
            DmErrorKind::NoDeviceMapper => Self::Unreachable(error),
            _ => Self::Command(refusal(&error, " ")),
        }
    }

    /// Why it failed, alone; `None` where the command line means nothing or nobody takes the answer.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Self::CommandLine(_) | Self::UnknownCommand | Self::NoCommand | Self::Arguments | Self::Output(_) => None,
            Self::Command(message) | Self::Report(message) => Some(message.clone()),
            Self::Silent => Some("Command failed.".to_owned()),
            Self::Unreachable(error) => Some(unreachable_text(error)),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The name, the UUID or the number, where dmsetup's messages have them.
fn on(device: &DeviceId) -> String {
    match device {
        DeviceId::Name(name) => format!("{name} "),
        DeviceId::Uuid(uuid) => format!(" {uuid}"),
        DeviceId::Number(number) => format!(" ({number})"),
    }
}

/// A refusal of the kernel's on one line.
pub(super) fn refusal(error: &DmError, device: &str) -> String {
    match error {
        DmError::Ioctl { command, errno, .. } => {
            let text = system_text(*errno);
            format!(
                "device-mapper: {} ioctl on {device} failed: {text}",
                ioctl_name(*command)
            )
        }
        other => format!("device-mapper: {other}"),
    }
}

/// What dmsetup calls an ioctl.
fn ioctl_name(command: Command) -> &'static str {
    match command {
        Command::TargetVersion => "target-version",
        other => other.name(),
    }
}
