//! The requests that the kernel answers: commands, their flags, and the version of the interface.

use std::fmt;

/// Bits of the `flags` field, by the kernel's names less `DM_` and `_FLAG`.
pub(super) mod flags {
    /// In: load the table read-only. Out: the device is read-only.
    pub(crate) const READONLY: u32 = 1 << 0;
    /// In: suspend rather than resume. Out: the device is suspended.
    pub(crate) const SUSPEND: u32 = 1 << 1;
    /// In: take the minor number in `dev`.
    pub(crate) const PERSISTENT_DEV: u32 = 1 << 3;
    /// In: tables instead of states.
    pub(crate) const STATUS_TABLE: u32 = 1 << 4;
    /// Out: there is a live table.
    pub(crate) const ACTIVE_PRESENT: u32 = 1 << 5;
    /// Out: there is an inactive table.
    pub(crate) const INACTIVE_PRESENT: u32 = 1 << 6;
    /// Out: the reply did not fit.
    pub(crate) const BUFFER_FULL: u32 = 1 << 8;
    /// In: do not freeze a file system on suspend.
    pub(crate) const SKIP_LOCKFS: u32 = 1 << 10;
    /// In: do not flush queued I/O on suspend, nor pool metadata before a status is reported.
    pub(crate) const NOFLUSH: u32 = 1 << 11;
    /// In: query the inactive table.
    pub(crate) const QUERY_INACTIVE_TABLE: u32 = 1 << 12;
    /// Out: udev was sent an event.
    pub(crate) const UEVENT_GENERATED: u32 = 1 << 13;
    /// In: a rename sets the UUID; a list has the UUIDs.
    pub(crate) const UUID: u32 = 1 << 14;
    /// In: the kernel wipes its buffers afterwards.
    pub(crate) const SECURE_DATA: u32 = 1 << 15;
    /// Out: a message has an answer.
    pub(crate) const DATA_OUT: u32 = 1 << 16;
    /// In: remove when the last user closes it. Out: so it will be.
    pub(crate) const DEFERRED_REMOVE: u32 = 1 << 17;
    /// Out: the kernel itself suspended the device.
    pub(crate) const INTERNAL_SUSPEND: u32 = 1 << 18;
    /// In: what the integrity measurement would see.
    pub(crate) const IMA_MEASUREMENT: u32 = 1 << 19;

    /// The flags of a request, spelled out.
    pub(crate) fn names(flags: u32) -> String {
        const NAMES: [(u32, &str); 10] = [
            (READONLY, "readonly"),
            (SUSPEND, "suspend"),
            (PERSISTENT_DEV, "minor"),
            (STATUS_TABLE, "table"),
            (SKIP_LOCKFS, "skiplockfs"),
            (NOFLUSH, "noflush"),
            (QUERY_INACTIVE_TABLE, "inactive"),
            (UUID, "uuid"),
            (SECURE_DATA, "securedata"),
            (DEFERRED_REMOVE, "deferred"),
        ];
        let given = NAMES.iter().filter(|(flag, _)| flags & flag != 0);
        given.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
    }
}

/// The version of the kernel's interface, or of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes break everything.
    pub major: u32,
    /// Changes add something.
    pub minor: u32,
    /// Changes repair something.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A request to the kernel. The number is the ioctl's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Command {
    /// Get the version of the interface.
    Version = 0,
    /// Remove every unused device.
    RemoveAll = 1,
    /// List all devices.
    List = 2,
    /// Make a device without a table.
    Create = 3,
    /// Remove a device.
    Remove = 4,
    /// Give a device another name, or its first UUID.
    Rename = 5,
    /// Suspend a device. The kernel has one command for this and for resuming.
    Suspend = 6,
    /// Get the state of a device.
    Info = 7,
    /// Wait for an event of a device.
    Wait = 8,
    /// Load a table into the inactive slot.
    Load = 9,
    /// Drop the table in the inactive slot.
    Clear = 10,
    /// List the devices that a table uses.
    Deps = 11,
    /// Get a table, or the status of its targets.
    Table = 12,
    /// List the target types.
    Targets = 13,
    /// Send a message to a target.
    Message = 14,
    /// Set the disk geometry that a BIOS would see.
    SetGeometry = 15,
    /// Make the control node readable when any device has an event.
    ArmPoll = 16,
    /// Get the version of one target type, loading its module if needed.
    TargetVersion = 17,
    /// Resume a device: the ioctl of [`Command::Suspend`] without its flag.
    Resume = 0x80 | 6,
    /// Get the status of the targets: the ioctl of [`Command::Table`] without its flag.
    Status = 0x80 | 12,
}

impl Command {
    /// The command's name as dmsetup's messages spell it: `device-mapper: reload ioctl on …`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::RemoveAll => "remove_all",
            Self::List => "names",
            Self::Create => "create",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Suspend => "suspend",
            Self::Info => "info",
            Self::Wait => "waitevent",
            Self::Load => "reload",
            Self::Clear => "clear",
            Self::Deps => "deps",
            Self::Table => "table",
            Self::Targets => "versions",
            Self::Message => "message",
            Self::SetGeometry => "setgeometry",
            Self::ArmPoll => "armpoll",
            Self::TargetVersion => "getversion",
            Self::Resume => "resume",
            Self::Status => "status",
        }
    }
}
