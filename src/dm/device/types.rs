//! The types of requests and answers: names of devices, options, states.

use std::fmt;

use crate::block_device::DevNo;
use crate::dm::command::flags;
use crate::dm::error::DmError;
use crate::dm::names::{DeviceName, DeviceUuid};
use crate::dm::nodes::NodeOwner;
use crate::dm::table::TableText;
use crate::dm::udev::UdevOutcome;

/// The device that a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DeviceId {
    /// By name.
    Name(DeviceName),
    /// By UUID.
    Uuid(DeviceUuid),
    /// By number.
    Number(DevNo),
}

/// One of a device's two tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The one that I/O passes through.
    #[default]
    Live,
    /// The one that the next resume puts in its place.
    Inactive,
}

/// The state of a device, as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name.
    pub name: DeviceName,
    /// Its UUID, where it has one.
    pub uuid: Option<DeviceUuid>,
    /// Its number.
    pub number: DevNo,
    /// How often it is open, uses by other devices included.
    pub open_count: u32,
    /// The number of its last event.
    pub event_nr: u32,
    /// Lines in the table that was queried.
    pub target_count: u32,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether the kernel itself has suspended it.
    pub internally_suspended: bool,
    /// Whether it is read-only.
    pub read_only: bool,
    /// Whether it has a live table.
    pub live_table: bool,
    /// Whether it has an inactive table.
    pub inactive_table: bool,
    /// Whether it is removed when its last user closes it.
    pub deferred_remove: bool,
}

/// One line of the list of all devices. What older kernels leave out here is in [`DeviceInfo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// The device's name.
    pub name: DeviceName,
    /// Its number.
    pub number: DevNo,
    /// The number of its last event; `None` before interface 4.37.
    pub event_nr: Option<u32>,
    /// Its UUID, where it has one; `None` before interface 4.45.
    pub uuid: Option<Option<DeviceUuid>>,
}

/// A device to be made.
#[derive(Clone, Debug)]
pub struct NewDevice<'a> {
    /// Its name.
    pub name: &'a DeviceName,
    /// Its UUID.
    pub uuid: Option<&'a DeviceUuid>,
    /// Its minor number, where it must have a certain one.
    pub minor: Option<u32>,
    /// Its table; without one the device stays suspended and empty.
    pub table: Option<&'a TableText>,
    /// Whether the table is loaded read-only.
    pub read_only: bool,
    /// The owner of a node that is made by hand.
    pub owner: Option<NodeOwner>,
}

impl<'a> NewDevice<'a> {
    /// A device without a table.
    pub fn empty(name: &'a DeviceName) -> Self {
        Self {
            name,
            uuid: None,
            minor: None,
            table: None,
            read_only: false,
            owner: None,
        }
    }

    /// A writable device with a table and any minor number.
    pub fn new(name: &'a DeviceName, uuid: Option<&'a DeviceUuid>, table: &'a TableText) -> Self {
        Self {
            uuid,
            table: Some(table),
            ..Self::empty(name)
        }
    }
}

/// Options of suspending or resuming a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuspendOptions {
    /// Leave queued I/O in the queue.
    pub no_flush: bool,
    /// Do not freeze a file system on the device.
    pub skip_lockfs: bool,
}

/// Options of removing a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// If it is in use, remove it when its last user closes it.
    pub deferred: bool,
    /// If it is in use, try again for a few seconds.
    pub retry: bool,
}

/// Options of querying targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusOptions {
    /// The table to query.
    pub which: Which,
    /// Do not let a thin pool commit its metadata first.
    pub no_flush: bool,
}

/// A device that was made, resumed or renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Its state now.
    pub info: DeviceInfo,
    /// The outcome of waiting for udev.
    pub udev: UdevOutcome,
}

/// The outcome of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The device is gone.
    Removed(UdevOutcome),
    /// It is in use, and is removed when its last user closes it.
    Deferred,
}

/// The answer of a target to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageReply {
    /// It took the message.
    Done,
    /// It answered.
    Text(Vec<u8>),
}

impl Which {
    pub(super) fn flag(self) -> u32 {
        match self {
            Self::Live => 0,
            Self::Inactive => flags::QUERY_INACTIVE_TABLE,
        }
    }
}

impl SuspendOptions {
    pub(super) fn flags(self) -> u32 {
        let no_flush = if self.no_flush { flags::NOFLUSH } else { 0 };
        no_flush | if self.skip_lockfs { flags::SKIP_LOCKFS } else { 0 }
    }
}

impl From<DeviceName> for DeviceId {
    fn from(name: DeviceName) -> Self {
        Self::Name(name)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Number(number) => write!(f, "({number})"),
        }
    }
}

impl DmError {
    /// The same with the device's name beside its number.
    pub fn on_device(self, info: &DeviceInfo) -> Self {
        match self {
            Self::Ioctl { command, errno, .. } => Self::Ioctl {
                command,
                device: format!("{} ({})", info.name, info.number),
                errno,
            },
            other => other,
        }
    }
}
