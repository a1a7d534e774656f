//! Errors between us and the device-mapper: the facts. The command line knows the remedies.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use super::command::{Command, Version};

/// A failed operation on the device-mapper.
#[derive(Debug, thiserror::Error)]
pub enum DmError {
    /// The kernel has no device-mapper: it is neither in `/proc/misc` nor behind the control node.
    #[error("the kernel has no device-mapper (module dm_mod)")]
    NoDeviceMapper,
    /// The control node cannot be made or opened.
    #[error("cannot open {}: {}", path.display(), text_of(source))]
    Control {
        /// The node.
        path: PathBuf,
        /// The system's error; permission denied without CAP_SYS_ADMIN.
        source: io::Error,
    },
    /// The kernel has another major version of the interface.
    #[error("the kernel's device-mapper interface is {kernel}, and version 4 is needed")]
    Version {
        /// The kernel's version.
        kernel: Version,
    },
    /// The kernel refused.
    #[error("{} ioctl{} failed: {}", command.name(), on_device(device), system_text(*errno))]
    Ioctl {
        /// The request.
        command: Command,
        /// The device, empty where the command has none.
        device: String,
        /// The reason.
        errno: Errno,
    },
    /// The request cannot be put into the kernel's form.
    #[error("bad {} request: {defect}", command.name())]
    BadRequest {
        /// The request.
        command: Command,
        /// The reason.
        defect: &'static str,
    },
    /// The kernel's answer makes no sense.
    #[error("bad reply to the {} ioctl: {defect}", command.name())]
    BadReply {
        /// The request.
        command: Command,
        /// The defect of the answer.
        defect: &'static str,
    },
    /// The answer is larger than any valid one, or came from a message that must not be repeated.
    #[error("the reply to the {} ioctl is too large", command.name())]
    ReplyTooLarge {
        /// The request.
        command: Command,
    },
    /// The kernel's interface is too old for this.
    #[error("{what} needs a newer kernel: its device-mapper interface is {kernel}, and {needed} is needed")]
    TooOld {
        /// The request.
        what: &'static str,
        /// The kernel's version.
        kernel: Version,
        /// The version that it needs.
        needed: Version,
    },
    /// No memory for a buffer.
    #[error("no memory for a device-mapper request: {0}")]
    Memory(#[source] io::Error),
    /// The device's node could not be made, moved or removed.
    #[error("cannot set up {}: {}", path.display(), text_of(source))]
    Node {
        /// The node.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Waiting for events failed.
    #[error("cannot wait for a device-mapper event: {0}")]
    Poll(#[source] Errno),
}

fn text_of(error: &io::Error) -> String {
    let number = error.raw_os_error();
    number.map_or_else(
        || error.to_string(),
        |number| system_text(Errno::from_raw(number)).to_owned(),
    )
}

/// The text of a system error as glibc words it, which people and scripts look for, whatever library this program is
/// linked with.
pub(crate) fn system_text(errno: Errno) -> &'static str {
    match errno {
        Errno::EIO => "Input/output error",
        Errno::EBADF => "Bad file descriptor",
        Errno::EAGAIN => "Resource temporarily unavailable",
        Errno::ENOMEM => "Cannot allocate memory",
        Errno::EXDEV => "Invalid cross-device link",
        Errno::ENFILE => "Too many open files in system",
        Errno::ENOTTY => "Inappropriate ioctl for device",
        Errno::EDOM => "Numerical argument out of domain",
        Errno::ERANGE => "Numerical result out of range",
        Errno::EDEADLK => "Resource deadlock avoided",
        Errno::ENOLCK => "No locks available",
        Errno::ELOOP => "Too many levels of symbolic links",
        Errno::EBADMSG => "Bad message",
        Errno::EILSEQ => "Invalid or incomplete multibyte or wide character",
        Errno::EOPNOTSUPP => "Operation not supported",
        Errno::ENETRESET => "Network dropped connection on reset",
        Errno::EDQUOT => "Disk quota exceeded",
        // nix has glibc's texts for the others.
        other => other.desc(),
    }
}

fn on_device(device: &str) -> String {
    if device.is_empty() {
        String::new()
    } else {
        format!(" on {device}")
    }
}

/// The kinds of failure that a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmErrorKind {
    /// A process has the device open, or another device uses it.
    Busy,
    /// There is no such device.
    NotFound,
    /// There is already such a device, or one with that UUID.
    Exists,
    /// Not root.
    Denied,
    /// The kernel lacks the device-mapper.
    NoDeviceMapper,
    /// No memory.
    NoMemory,
    /// A signal came first.
    Interrupted,
    /// Anything else.
    Other,
}

impl DmError {
    /// The kind of failure.
    pub fn kind(&self) -> DmErrorKind {
        match self {
            Self::NoDeviceMapper => DmErrorKind::NoDeviceMapper,
            Self::Memory(_) => DmErrorKind::NoMemory,
            Self::Control { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => DmErrorKind::Denied,
            Self::Ioctl { command, errno, .. } => match (*errno, *command) {
                // The kernel says "busy" also for a name or a UUID that is taken.
                (Errno::EBUSY, Command::Create | Command::Rename) | (Errno::EEXIST, _) => DmErrorKind::Exists,
                (Errno::EBUSY, _) => DmErrorKind::Busy,
                (Errno::ENXIO | Errno::ENODEV, _) => DmErrorKind::NotFound,
                (Errno::EACCES | Errno::EPERM, _) => DmErrorKind::Denied,
                (Errno::ENOMEM, _) => DmErrorKind::NoMemory,
                (Errno::EINTR, _) => DmErrorKind::Interrupted,
                _ => DmErrorKind::Other,
            },
            _ => DmErrorKind::Other,
        }
    }

    /// Reports the failure as one of `command`, for which the failed query was made.
    pub fn during(self, command: Command) -> Self {
        match self {
            Self::Ioctl { device, errno, .. } => Self::Ioctl { command, device, errno },
            other => other,
        }
    }

    /// Whether the device is still in use.
    pub fn is_busy(&self) -> bool {
        self.kind() == DmErrorKind::Busy
    }

    /// Whether there is no such device.
    pub fn is_not_found(&self) -> bool {
        self.kind() == DmErrorKind::NotFound
    }

    /// The kernel's error number, where it gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Ioctl { errno, .. } | Self::Poll(errno) => Some(*errno),
            Self::Control { source, .. } | Self::Node { source, .. } | Self::Memory(source) => {
                source.raw_os_error().map(Errno::from_raw)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(command: Command, errno: Errno) -> DmError {
        DmError::Ioctl {
            command,
            device: "x (253:0)".to_owned(),
            errno,
        }
    }

    #[test]
    fn busy_means_taken_where_a_name_is_given() {
        assert_eq!(refused(Command::Create, Errno::EBUSY).kind(), DmErrorKind::Exists);
        assert_eq!(refused(Command::Rename, Errno::EBUSY).kind(), DmErrorKind::Exists);
        assert_eq!(refused(Command::Remove, Errno::EBUSY).kind(), DmErrorKind::Busy);
        assert_eq!(refused(Command::Load, Errno::EBUSY).kind(), DmErrorKind::Busy);
        assert_eq!(refused(Command::Info, Errno::ENXIO).kind(), DmErrorKind::NotFound);
    }

    /// The library of the build machine is glibc.
    #[cfg(target_env = "gnu")]
    #[test]
    fn system_texts_are_glibcs() {
        for number in 1..=133 {
            let theirs = io::Error::from_raw_os_error(number).to_string();
            let theirs = theirs.split(" (os error").next().expect("a first part");
            if !theirs.starts_with("Unknown") {
                assert_eq!(system_text(Errno::from_raw(number)), theirs, "{number}");
            }
        }
    }

    #[test]
    fn the_text_is_the_one_that_people_know() {
        assert_eq!(
            refused(Command::Load, Errno::ENOENT).to_string(),
            "reload ioctl on x (253:0) failed: No such file or directory"
        );
    }
}
