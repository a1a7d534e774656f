//! Failures of a dmsetup verb: the messages, and the lines after them.

use std::fmt;
use std::io;

use crate::console::unreachable_text;
use crate::dm::{Command, DeviceId, DmError, DmErrorKind, system_text};

/// A command that failed. dmsetup's exit code is 1 for all of them.
#[derive(Debug)]
pub(super) enum Failure {
    /// The options are invalid; the message says why.
    CommandLine(String),
    /// No such verb.
    UnknownCommand,
    /// An empty command line.
    NoCommand,
    /// Too many or too few arguments of the verb.
    Arguments,
    /// The command failed, for this reason, line by line.
    Command(String),
    /// An invalid report; the text is the whole message.
    Report(String),
    /// The command failed, and the reason was already reported.
    Silent,
    /// The device-mapper is unreachable.
    Unreachable(DmError),
    /// Our output is closed.
    Output(io::Error),
}

impl Failure {
    /// A command that failed for one reason.
    pub(super) fn because(message: impl fmt::Display) -> Self {
        Self::Command(message.to_string())
    }

    /// The kernel's refusal, in dmsetup's words.
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

    /// The same for a command that is not about a single device.
    pub(super) fn refused_for_all(error: DmError) -> Self {
        match error.kind() {
            DmErrorKind::NoDeviceMapper => Self::Unreachable(error),
            _ => Self::Command(refusal(&error, " ")),
        }
    }

    /// The reason alone; `None` for an invalid command line or closed output.
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

/// The name, the UUID or the number, as in dmsetup's messages.
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

/// dmsetup's name for an ioctl.
fn ioctl_name(command: Command) -> &'static str {
    match command {
        Command::TargetVersion => "target-version",
        other => other.name(),
    }
}
