//! Queries: the list of devices, their states, their tables. They change nothing.

use nix::errno::Errno;

use super::{DeviceId, DeviceInfo, Dm, ListEntry, StatusOptions, Which, info_of};
use crate::block_device::DevNo;
use crate::dm::command::{Command, Version, flags};
use crate::dm::error::DmError;
use crate::dm::ioctl::{Reply, Request};
use crate::dm::table::{TableText, TargetType};
use crate::dm::wire;

impl Dm {
    /// All devices, in the kernel's order.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn list(&self) -> Result<Vec<ListEntry>, DmError> {
        // The kernel reports the UUIDs with the names only on request.
        let request = Request {
            flags: flags::UUID,
            ..Request::default()
        };
        self.control
            .list(Command::List, &request, |reply| wire::device_list(reply.data))
    }

    /// The target types that the kernel has loaded, with their versions.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn target_versions(&self) -> Result<Vec<(TargetType, Version)>, DmError> {
        self.control.list(Command::Targets, &Request::default(), |reply| {
            wire::target_versions(reply.data)
        })
    }

    /// The version of one target type, whose module is loaded if needed. `None` if the kernel has no such type.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn target_version(&self, kind: TargetType) -> Result<Option<Version>, DmError> {
        const SINCE: Version = Version {
            major: 4,
            minor: 41,
            patch: 0,
        };
        if self.version() < SINCE {
            let all = self.target_versions()?;
            return Ok(all
                .into_iter()
                .find(|(found, _)| *found == kind)
                .map(|(_, version)| version));
        }
        let request = Request {
            name: kind.as_bytes(),
            ..Request::default()
        };
        let answer = self.control.call(Command::TargetVersion, &request, kind, |r| {
            wire::target_versions(r.data)
        });
        match answer {
            Ok(versions) => Ok(versions.first().map(|(_, version)| *version)),
            Err(DmError::Ioctl {
                errno: Errno::EINVAL, ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The state of a device, as the kernel reports it.
    ///
    /// # Errors
    /// Of the kind `NotFound` if there is no such device.
    pub fn info(&self, id: &DeviceId) -> Result<DeviceInfo, DmError> {
        self.on(Command::Info, id, 0, Request::default(), info_of)
    }

    /// As [`Dm::info`], with the number of targets in the inactive table.
    ///
    /// # Errors
    /// As [`Dm::info`].
    pub fn info_of_table(&self, id: &DeviceId, which: Which) -> Result<DeviceInfo, DmError> {
        self.on(Command::Info, id, which.flag(), Request::default(), info_of)
    }

    /// A device's table. It may hold a key.
    ///
    /// # Errors
    /// As [`Dm::info`].
    pub fn table(&self, id: &DeviceId, which: Which) -> Result<(DeviceInfo, TableText), DmError> {
        let flags = flags::STATUS_TABLE | flags::SECURE_DATA | which.flag();
        self.on(Command::Table, id, flags, Request::default(), lines_of)
    }

    /// The state of each of a device's targets, as text.
    ///
    /// # Errors
    /// As [`Dm::info`].
    pub fn status(&self, id: &DeviceId, options: StatusOptions) -> Result<(DeviceInfo, TableText), DmError> {
        let no_flush = if options.no_flush { flags::NOFLUSH } else { 0 };
        self.on(
            Command::Status,
            id,
            options.which.flag() | no_flush,
            Request::default(),
            lines_of,
        )
    }

    /// A device's table as the integrity measurement would see it.
    ///
    /// # Errors
    /// As [`Dm::info`].
    pub fn measurement(&self, id: &DeviceId) -> Result<(DeviceInfo, TableText), DmError> {
        self.on(
            Command::Status,
            id,
            flags::IMA_MEASUREMENT | flags::SECURE_DATA,
            Request::default(),
            lines_of,
        )
    }

    /// The devices that a device's table uses.
    ///
    /// # Errors
    /// As [`Dm::info`].
    pub fn deps(&self, id: &DeviceId, which: Which) -> Result<Vec<DevNo>, DmError> {
        Ok(self.info_and_deps(id, which)?.1)
    }

    /// The state of a device, and the devices that its table uses: both in one request.
    ///
    /// # Errors
    /// As [`Dm::info`].
    pub fn info_and_deps(&self, id: &DeviceId, which: Which) -> Result<(DeviceInfo, Vec<DevNo>), DmError> {
        self.on(Command::Deps, id, which.flag(), Request::default(), |reply| {
            let info = info_of(reply)?;
            if reply.data.is_empty() {
                Ok((info, Vec::new()))
            } else {
                Ok((info, wire::deps(reply.data)?))
            }
        })
    }
}

fn lines_of(reply: &Reply<'_>) -> Result<(DeviceInfo, TableText), &'static str> {
    let info = info_of(reply)?;
    let count = if reply.data.is_empty() { 0 } else { info.target_count };
    Ok((info, wire::table(reply.data, count)?))
}
