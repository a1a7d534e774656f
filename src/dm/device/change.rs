//! Changes to an existing device: its name, its UUID, its geometry; and messages to its targets.

use super::{Activation, DeviceId, Dm, MessageReply, with_event};
use crate::dm::command::{Command, flags};
use crate::dm::error::DmError;
use crate::dm::ioctl::Request;
use crate::dm::names::{DeviceName, DeviceUuid};
use crate::dm::nodes::{self, NodeOwner};
use crate::dm::udev::UdevMode;
use crate::dm::wire;

/// Room for the answer to a message, which cannot be requested twice.
const MESSAGE_ROOM: usize = 256 * 1024;

impl Dm {
    /// Gives a device another name.
    ///
    /// # Errors
    /// Of the kind `Exists` where the name is taken.
    pub fn rename(&self, id: &DeviceId, new: &DeviceName) -> Result<Activation, DmError> {
        let before = self.info(id).map_err(|error| error.during(Command::Rename))?;
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
        policy.look_after_node(&info.name, info.number, NodeOwner::default())?;
        Ok(Activation { info, udev })
    }

    /// Gives a UUID to a device that was made without one.
    ///
    /// # Errors
    /// Of the kind `Exists` where the UUID is taken, `EINVAL` where the device has one.
    pub fn set_uuid(&self, id: &DeviceId, uuid: &DeviceUuid) -> Result<Activation, DmError> {
        let before = self.info(id).map_err(|error| error.during(Command::Rename))?;
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

    /// Sets the disk geometry that a BIOS would see.
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
}

fn terminated(bytes: &[u8]) -> Vec<u8> {
    let mut terminated = bytes.to_vec();
    terminated.push(0);
    terminated
}
