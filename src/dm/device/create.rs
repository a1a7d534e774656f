//! Creating, loading, suspending and resuming devices.

use super::{Activation, DeviceId, DeviceInfo, Dm, NewDevice, RemoveOptions, SuspendOptions, info_of, with_event};
use crate::block_device::DevNo;
use crate::dm::command::{Command, flags};
use crate::dm::error::DmError;
use crate::dm::ioctl::Request;
use crate::dm::names::DeviceUuid;
use crate::dm::nodes::{self, NodeOwner};
use crate::dm::table::TableText;
use crate::dm::udev::{UdevMode, UdevOutcome};
use crate::dm::wire;

impl Dm {
    /// Makes a device, loads its table and resumes it. If any of this fails, the device is removed again.
    ///
    /// # Errors
    /// Of the kind `Exists` where the name or the UUID is taken; the kernel's for a table that it rejects.
    pub fn create(&self, new: &NewDevice<'_>) -> Result<Activation, DmError> {
        let info = self.create_empty(new)?;
        let id = DeviceId::Number(info.number);
        let activated = self.activate(new, info);
        if activated.is_err() {
            // The first error is the one to report.
            let _ = self.remove(
                &id,
                RemoveOptions {
                    retry: true,
                    deferred: false,
                },
            );
        }
        activated
    }

    fn activate(&self, new: &NewDevice<'_>, info: DeviceInfo) -> Result<Activation, DmError> {
        let id = DeviceId::Number(info.number);
        match new.table {
            None => self.with_node(new, info),
            Some(table) => self
                .load(&id, table, new.read_only)
                .map_err(|error| error.on_device(&info))
                .and_then(|_| self.resume_with_node(&id, SuspendOptions::default(), new.owner.unwrap_or_default())),
        }
    }

    fn create_empty(&self, new: &NewDevice<'_>) -> Result<DeviceInfo, DmError> {
        // The kernel looks at the minor alone; its own major is the device-mapper's.
        let (dev, flags) = match new.minor {
            Some(minor) => (DevNo::new(0, minor).to_raw(), flags::PERSISTENT_DEV),
            None => (0, 0),
        };
        let request = Request {
            name: new.name.as_bytes(),
            uuid: new.uuid.map_or(&[], DeviceUuid::as_bytes),
            dev,
            flags,
            ..Request::default()
        };
        self.control.call(Command::Create, &request, new.name, info_of)
    }

    /// A device without a table makes no event that would have udev make a node.
    fn with_node(&self, new: &NewDevice<'_>, info: DeviceInfo) -> Result<Activation, DmError> {
        if matches!(self.udev.mode, UdevMode::Off(_)) && !self.udev.leaves_nodes_to_udev() {
            nodes::ensure(&info.name, info.number, new.owner.unwrap_or_default())?;
        }
        Ok(Activation {
            info,
            udev: UdevOutcome::NotAwaited,
        })
    }

    /// Loads a table into the inactive slot.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`]; for most mistakes in a table that is no more than `EINVAL`.
    pub fn load(&self, id: &DeviceId, table: &TableText, read_only: bool) -> Result<DeviceInfo, DmError> {
        let command = Command::Load;
        let payload = wire::encode_table(table).map_err(DmError::Memory)?;
        let target_count = u32::try_from(table.lines().len()).map_err(|_| DmError::BadRequest {
            command,
            defect: "too many targets",
        })?;
        let flags = flags::SECURE_DATA | if read_only { flags::READONLY } else { 0 };
        let request = Request {
            target_count,
            payload: payload.expose(),
            ..Request::default()
        };
        self.on(command, id, flags, request, info_of)
    }

    /// Puts a table in place of the live one.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`]; the device then keeps its old table, and is running if it was before.
    pub fn replace(
        &self,
        id: &DeviceId,
        table: &TableText,
        read_only: bool,
        options: SuspendOptions,
    ) -> Result<Activation, DmError> {
        let before = self.load(id, table, read_only)?;
        self.resume(id, options).inspect_err(|_| {
            // The first error is the one to report. The kernel leaves a device suspended whose new table it rejected.
            let _ = self.clear(id);
            if !before.suspended {
                let _ = self.resume(id, SuspendOptions::default());
            }
        })
    }

    /// Drops the table in the inactive slot.
    ///
    /// # Errors
    /// As [`Dm::info`].
    pub fn clear(&self, id: &DeviceId) -> Result<DeviceInfo, DmError> {
        self.on(Command::Clear, id, 0, Request::default(), info_of)
    }

    /// Suspends a device: its I/O waits.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn suspend(&self, id: &DeviceId, options: SuspendOptions) -> Result<DeviceInfo, DmError> {
        self.on(
            Command::Suspend,
            id,
            flags::SUSPEND | options.flags(),
            Request::default(),
            info_of,
        )
    }

    /// Puts the inactive table in place of the live one, where there is one, and lets I/O through.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn resume(&self, id: &DeviceId, options: SuspendOptions) -> Result<Activation, DmError> {
        self.resume_with_node(id, options, NodeOwner::default())
    }

    /// As [`Dm::resume`]; a node that is made by hand belongs to `owner`.
    ///
    /// # Errors
    /// As [`Dm::resume`].
    pub fn resume_with_node(
        &self,
        id: &DeviceId,
        options: SuspendOptions,
        owner: NodeOwner,
    ) -> Result<Activation, DmError> {
        let (cookie, policy) = self.cookie();
        let request = Request {
            event_nr: cookie.event_nr(),
            ..Request::default()
        };
        let (info, event) = self.on(Command::Resume, id, options.flags(), request, with_event)?;
        let udev = cookie.finish(event);
        policy.look_after_node(&info.name, info.number, owner)?;
        Ok(Activation { info, udev })
    }
}
