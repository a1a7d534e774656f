//! The handle on the device-mapper: one method for each operation on a device.

mod change;
mod create;
mod query;
mod remove;
mod types;
mod wait;

pub use types::{
    Activation, DeviceId, DeviceInfo, ListEntry, MessageReply, NewDevice, Removal, RemoveOptions, StatusOptions,
    SuspendOptions, Which,
};

use super::command::{Command, Version, flags};
use super::error::DmError;
use super::ioctl::{Control, Reply, Request};
use super::names::{DeviceName, DeviceUuid};
use super::udev::{Cookie, UdevPolicy};
use crate::block_device::DevNo;

/// A handle on the device-mapper, for one thread.
#[derive(Debug)]
pub struct Dm {
    control: Control,
    udev: UdevPolicy,
}

impl Dm {
    /// Opens the control node, and finds out how to work with udev.
    ///
    /// # Errors
    /// [`DmError::NoDeviceMapper`], [`DmError::Control`] (most often: not root), [`DmError::Version`].
    pub fn open() -> Result<Self, DmError> {
        Ok(Self {
            control: Control::open()?,
            udev: UdevPolicy::detect(),
        })
    }

    /// The policy for working with udev.
    pub fn udev_policy(&self) -> UdevPolicy {
        self.udev
    }

    /// Changes the policy for working with udev, from now on.
    pub fn set_udev_policy(&mut self, policy: UdevPolicy) {
        self.udev = policy;
    }

    /// The version of the kernel's interface.
    pub fn version(&self) -> Version {
        self.control.version()
    }

    fn cookie(&self) -> (Cookie, UdevPolicy) {
        Cookie::begin_or_do_without(self.udev)
    }

    fn on<T>(
        &self,
        command: Command,
        id: &DeviceId,
        flags: u32,
        request: Request<'_>,
        read: impl Fn(&Reply<'_>) -> Result<T, &'static str>,
    ) -> Result<T, DmError> {
        let request = Request { flags, ..request };
        let request = match id {
            DeviceId::Name(name) => Request {
                name: name.as_bytes(),
                ..request
            },
            DeviceId::Uuid(uuid) => Request {
                uuid: uuid.as_bytes(),
                ..request
            },
            DeviceId::Number(number) => Request {
                dev: number.to_raw(),
                ..request
            },
        };
        self.control.call(command, &request, id, read)
    }
}

fn info_of(reply: &Reply<'_>) -> Result<DeviceInfo, &'static str> {
    let has = |flag| reply.flags & flag != 0;
    Ok(DeviceInfo {
        name: DeviceName::from_kernel(reply.name).map_err(|_| "an invalid device name")?,
        uuid: match reply.uuid {
            [] => None,
            uuid => Some(DeviceUuid::new(uuid).map_err(|_| "an invalid UUID")?),
        },
        number: DevNo::from_raw(reply.dev),
        open_count: u32::try_from(reply.open_count).unwrap_or(0),
        event_nr: reply.event_nr,
        target_count: reply.target_count,
        suspended: has(flags::SUSPEND),
        internally_suspended: has(flags::INTERNAL_SUSPEND),
        read_only: has(flags::READONLY),
        live_table: has(flags::ACTIVE_PRESENT),
        inactive_table: has(flags::INACTIVE_PRESENT),
        deferred_remove: has(flags::DEFERRED_REMOVE),
    })
}

fn with_event(reply: &Reply<'_>) -> Result<(DeviceInfo, bool), &'static str> {
    Ok((info_of(reply)?, reply.flags & flags::UEVENT_GENERATED != 0))
}
