//! The handle on the device-mapper: one method for each thing that can be done to a device.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::error::DmError;
use super::ioctl::{Command, Control, Reply, Request, Version, flags};
use super::names::{DeviceName, DeviceUuid};
use super::nodes::{self, NodeOwner};
use super::table::{TableText, TargetType};
use super::udev::{Cookie, UdevMode, UdevOutcome, UdevPolicy};
use super::wire;
use crate::block_device::DevNo;

/// How long a removal is tried again while somebody, most often a udev rule, has the device open.
const REMOVE_RETRY_LIMIT: Duration = Duration::from_secs(5);
const REMOVE_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Room for the answer to a message, which cannot be asked for twice.
const MESSAGE_ROOM: usize = 256 * 1024;

/// A handle on the device-mapper, for one thread.
#[derive(Debug)]
pub struct Dm {
    control: Control,
    udev: UdevPolicy,
}

/// Which device is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DeviceId {
    /// By name.
    Name(DeviceName),
    /// By UUID.
    Uuid(DeviceUuid),
    /// By number.
    Number(DevNo),
}

/// Which of a device's two tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The one that I/O passes through.
    #[default]
    Live,
    /// The one that the next resume puts in its place.
    Inactive,
}

/// What the kernel says of a device.
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
    /// Lines in the table that was asked about.
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
    /// Whether it goes when its last user closes it.
    pub deferred_remove: bool,
}

/// One line of the list of all devices. What older kernels do not tell here is in [`DeviceInfo`].
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
    /// Who owns a node that is made by hand.
    pub owner: Option<NodeOwner>,
}

impl<'a> NewDevice<'a> {
    /// A writable device with a table and any minor number.
    pub fn new(name: &'a DeviceName, uuid: Option<&'a DeviceUuid>, table: &'a TableText) -> Self {
        Self {
            name,
            uuid,
            minor: None,
            table: Some(table),
            read_only: false,
            owner: None,
        }
    }
}

/// How a device is to be suspended or resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuspendOptions {
    /// Leave queued I/O in the queue.
    pub no_flush: bool,
    /// Do not freeze a file system on the device.
    pub skip_lockfs: bool,
}

/// How a device is to be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Where it is in use, let it go when its last user closes it.
    pub deferred: bool,
    /// Where it is in use, try again for a few seconds.
    pub retry: bool,
}

/// What is to be told of targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusOptions {
    /// Of which table.
    pub which: Which,
    /// Do not let a thin pool commit its metadata first.
    pub no_flush: bool,
}

/// A device that was made, resumed or renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// What it is now.
    pub info: DeviceInfo,
    /// What came of waiting for udev.
    pub udev: UdevOutcome,
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The device is gone.
    Removed(UdevOutcome),
    /// It is in use, and goes when its last user closes it.
    Deferred,
}

/// What a target answered to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageReply {
    /// It took the message.
    Done,
    /// It answered.
    Text(Vec<u8>),
}

impl Dm {
    /// Opens the control node, and finds out how udev is to be dealt with.
    ///
    /// # Errors
    /// [`DmError::NoDeviceMapper`], [`DmError::Control`] (most often: not root), [`DmError::Version`].
    pub fn open() -> Result<Self, DmError> {
        Ok(Self {
            control: Control::open()?,
            udev: UdevPolicy::detect(),
        })
    }

    /// How operations go together with udev.
    pub fn udev_policy(&self) -> UdevPolicy {
        self.udev
    }

    /// Changes how operations go together with udev, from now on.
    pub fn set_udev_policy(&mut self, policy: UdevPolicy) {
        self.udev = policy;
    }

    /// The version of the kernel's interface.
    pub fn version(&self) -> Version {
        self.control.version()
    }

    /// All devices, in the kernel's order.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn list(&self) -> Result<Vec<ListEntry>, DmError> {
        self.control.call(Command::List, &Request::default(), "", |reply| {
            wire::device_list(reply.data)
        })
    }

    /// The target types that the kernel has at hand, with their versions.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn target_versions(&self) -> Result<Vec<(TargetType, Version)>, DmError> {
        self.control.call(Command::Targets, &Request::default(), "", |reply| {
            wire::target_versions(reply.data)
        })
    }

    /// The version of one target type, whose module is loaded where need be. `None` where the kernel has none such.
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

    /// What the kernel says of a device.
    ///
    /// # Errors
    /// Of the kind `NotFound` where there is none such.
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

    /// What the integrity measurement would see of a device's table.
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
        self.on(Command::Deps, id, which.flag(), Request::default(), |reply| {
            if reply.data.is_empty() {
                Ok(Vec::new())
            } else {
                wire::deps(reply.data)
            }
        })
    }

    /// Makes a device, loads its table and resumes it. When any of this fails, nothing is left of the device.
    ///
    /// # Errors
    /// Of the kind `Exists` where the name or the UUID is taken; the kernel's for a table that it does not take.
    pub fn create(&self, new: &NewDevice<'_>) -> Result<Activation, DmError> {
        let info = self.create_empty(new)?;
        let id = DeviceId::Number(info.number);
        let activated = match new.table {
            None => self.with_node(new, info),
            Some(table) => self
                .load(&id, table, new.read_only)
                .map_err(|error| error.on_device(&info))
                .and_then(|_| self.resume_owned(&id, SuspendOptions::default(), new.owner.unwrap_or_default())),
        };
        if activated.is_err() {
            // The first error is the one to tell.
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

    /// A device without a table makes no event for which udev makes a node.
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
    /// The kernel's, as [`DmError`]; it says no more than `EINVAL` for most things that may be wrong with a table.
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
        self.resume_owned(id, options, NodeOwner::default())
    }

    fn resume_owned(&self, id: &DeviceId, options: SuspendOptions, owner: NodeOwner) -> Result<Activation, DmError> {
        let (cookie, policy) = self.cookie();
        let request = Request {
            event_nr: cookie.event_nr(),
            ..Request::default()
        };
        let (info, event) = self.on(Command::Resume, id, options.flags(), request, with_event)?;
        let udev = cookie.finish(event);
        if !policy.leaves_nodes_to_udev() {
            nodes::ensure(&info.name, info.number, owner)?;
        }
        Ok(Activation { info, udev })
    }

    /// Removes a device.
    ///
    /// # Errors
    /// Of the kind `Busy` where it is in use, `NotFound` where there is none such.
    pub fn remove(&self, id: &DeviceId, options: RemoveOptions) -> Result<Removal, DmError> {
        // The node has to be found by name when the device can no longer be asked for it.
        let before = self.info(id)?;
        let started = Instant::now();
        let deferred = if options.deferred { flags::DEFERRED_REMOVE } else { 0 };
        loop {
            let (cookie, _) = self.cookie();
            let request = Request {
                event_nr: cookie.event_nr(),
                ..Request::default()
            };
            match self.on(Command::Remove, id, deferred, request, |reply| Ok((reply.flags, ()))) {
                Ok((flags, ())) => {
                    let udev = cookie.finish(flags & flags::UEVENT_GENERATED != 0);
                    if flags & flags::DEFERRED_REMOVE != 0 {
                        return Ok(Removal::Deferred);
                    }
                    self.forget_node(&before)?;
                    return Ok(Removal::Removed(udev));
                }
                Err(error) if error.is_busy() && options.retry && started.elapsed() < REMOVE_RETRY_LIMIT => {
                    drop(cookie);
                    thread::sleep(REMOVE_RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes the node, unless a new device has come under the same name meanwhile.
    fn forget_node(&self, gone: &DeviceInfo) -> Result<(), DmError> {
        if matches!(self.udev.mode, UdevMode::Shared(_)) {
            return Ok(());
        }
        if self.info(&DeviceId::Name(gone.name.clone())).is_ok() {
            return Ok(());
        }
        nodes::remove(&gone.name, gone.number)
    }

    /// Takes back a deferred removal.
    ///
    /// # Errors
    /// `ENXIO` or `EINVAL` where none was scheduled, as the kernel says it.
    pub fn cancel_deferred_remove(&self, id: &DeviceId) -> Result<(), DmError> {
        self.message(id, 0, b"@cancel_deferred_remove").map(drop)
    }

    /// Gives a device another name.
    ///
    /// # Errors
    /// Of the kind `Exists` where the name is taken.
    pub fn rename(&self, id: &DeviceId, new: &DeviceName) -> Result<Activation, DmError> {
        let before = self.info(id)?;
        let (cookie, policy) = self.cookie();
        let payload = terminated(new.as_bytes());
        let request = Request {
            event_nr: cookie.event_nr(),
            payload: &payload,
            ..Request::default()
        };
        // The kernel takes only a name or a UUID here, no number.
        let by_name = DeviceId::Name(before.name.clone());
        let (_, event) = self.on(Command::Rename, &by_name, 0, request, with_event)?;
        let udev = cookie.finish(event);
        let info = self.info(&DeviceId::Name(new.clone()))?;
        if !matches!(policy.mode, UdevMode::Shared(_)) {
            nodes::remove(&before.name, before.number)?;
        }
        if !policy.leaves_nodes_to_udev() {
            nodes::ensure(&info.name, info.number, NodeOwner::default())?;
        }
        Ok(Activation { info, udev })
    }

    /// Gives a UUID to a device that was made without one.
    ///
    /// # Errors
    /// Of the kind `Exists` where the UUID is taken, `EINVAL` where the device has one.
    pub fn set_uuid(&self, id: &DeviceId, uuid: &DeviceUuid) -> Result<Activation, DmError> {
        let before = self.info(id)?;
        let (cookie, _) = self.cookie();
        let payload = terminated(uuid.as_bytes());
        let request = Request {
            event_nr: cookie.event_nr(),
            payload: &payload,
            ..Request::default()
        };
        let by_name = DeviceId::Name(before.name);
        let (_, event) = self.on(Command::Rename, &by_name, flags::UUID, request, with_event)?;
        let udev = cookie.finish(event);
        Ok(Activation {
            info: self.info(&by_name)?,
            udev,
        })
    }

    /// Sends a message to the target that serves `sector`. The message may hold a key, and is wiped.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn message(&self, id: &DeviceId, sector: u64, message: &[u8]) -> Result<MessageReply, DmError> {
        let mut payload = keyslots::secret::Secret::zeroed(message.len() + 9).map_err(DmError::Memory)?;
        payload.expose_mut()[..8].copy_from_slice(&sector.to_ne_bytes());
        payload.expose_mut()[8..8 + message.len()].copy_from_slice(message);
        let request = Request {
            payload: payload.expose(),
            reply_room: MESSAGE_ROOM,
            ..Request::default()
        };
        self.on(Command::Message, id, flags::SECURE_DATA, request, |reply| {
            if reply.flags & flags::DATA_OUT == 0 {
                return Ok(MessageReply::Done);
            }
            let text = wire::until_nul(reply.data).ok_or("an answer without an end")?;
            Ok(MessageReply::Text(text.to_vec()))
        })
    }

    /// Sets what a BIOS would see of the disk's shape.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn set_geometry(
        &self,
        id: &DeviceId,
        cylinders: u16,
        heads: u8,
        sectors: u8,
        start: u64,
    ) -> Result<(), DmError> {
        let payload = terminated(format!("{cylinders} {heads} {sectors} {start}").as_bytes());
        let request = Request {
            payload: &payload,
            ..Request::default()
        };
        self.on(Command::SetGeometry, id, 0, request, |_| Ok(()))
    }

    /// Removes every device that nobody uses.
    ///
    /// # Errors
    /// The kernel's, as [`DmError`].
    pub fn remove_all(&self, deferred: bool) -> Result<(), DmError> {
        let flags = if deferred { flags::DEFERRED_REMOVE } else { 0 };
        self.control.call(
            Command::RemoveAll,
            &Request {
                flags,
                ..Request::default()
            },
            "",
            |_| Ok(()),
        )
    }

    /// Waits until the device's event number is past `event_nr`, or the time is up (`None` then).
    ///
    /// # Errors
    /// As [`Dm::info`]; of the kind `Interrupted` when a signal comes.
    pub fn wait(&self, id: &DeviceId, event_nr: u32, limit: Option<Duration>) -> Result<Option<DeviceInfo>, DmError> {
        const SINCE: Version = Version {
            major: 4,
            minor: 37,
            patch: 0,
        };
        let (kernel, what) = (self.version(), "waiting for an event");
        if kernel < SINCE {
            return Err(DmError::TooOld {
                what,
                kernel,
                needed: SINCE,
            });
        }
        let deadline = limit.map(|limit| Instant::now() + limit);
        // A new name is an event too, and must not hide the device from us.
        let id = DeviceId::Number(self.info(id)?.number);
        loop {
            // Armed first and asked then: no event can fall in between.
            self.control
                .call(Command::ArmPoll, &Request::default(), "", |_| Ok(()))?;
            let info = self.info(&id)?;
            if info.event_nr > event_nr {
                return Ok(Some(info));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            wait_readable(self.control.fd(), left)?;
        }
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

fn wait_readable(fd: BorrowedFd<'_>, limit: Option<Duration>) -> Result<(), DmError> {
    let timeout = match limit {
        None => PollTimeout::NONE,
        Some(limit) => PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
    };
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout)
        .map(drop)
        .map_err(DmError::Poll)
}

fn terminated(bytes: &[u8]) -> Vec<u8> {
    let mut terminated = bytes.to_vec();
    terminated.push(0);
    terminated
}

fn info_of(reply: &Reply<'_>) -> Result<DeviceInfo, &'static str> {
    let has = |flag| reply.flags & flag != 0;
    Ok(DeviceInfo {
        name: DeviceName::from_kernel(reply.name).map_err(|_| "a device name that is none")?,
        uuid: match reply.uuid {
            [] => None,
            uuid => Some(DeviceUuid::new(uuid).map_err(|_| "a UUID that is none")?),
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

fn lines_of(reply: &Reply<'_>) -> Result<(DeviceInfo, TableText), &'static str> {
    let info = info_of(reply)?;
    let count = if reply.data.is_empty() { 0 } else { info.target_count };
    Ok((info, wire::table(reply.data, count)?))
}

fn with_event(reply: &Reply<'_>) -> Result<(DeviceInfo, bool), &'static str> {
    Ok((info_of(reply)?, reply.flags & flags::UEVENT_GENERATED != 0))
}

impl Which {
    fn flag(self) -> u32 {
        match self {
            Self::Live => 0,
            Self::Inactive => flags::QUERY_INACTIVE_TABLE,
        }
    }
}

impl SuspendOptions {
    fn flags(self) -> u32 {
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
