//! The device-mapper: names, tables, udev, and the ioctls that tie them together. It knows no LUKS.
//!
//! [`Dm`] is the handle. `ioctl` is the only file with `unsafe` for the device-mapper's ioctls.

mod command;
mod control;
mod device;
mod error;
mod ioctl;
mod names;
pub mod nodes;
mod semaphore;
pub mod table;
pub(crate) mod targets;
pub mod udev;
mod wire;

pub use command::{Command, Version};
pub use device::{
    Activation, DeviceId, DeviceInfo, Dm, ListEntry, MessageReply, NewDevice, Removal, RemoveOptions, StatusOptions,
    SuspendOptions, Which,
};
pub(crate) use error::system_text;
pub use error::{DmError, DmErrorKind};
pub use names::{DeviceName, DeviceUuid, MAX_NAME, MAX_UUID, Mangling, NameError};
pub(crate) use names::{Printable, is_plain};
pub use table::{CryptKey, CryptOptions, CryptTarget, DeviceRef, KeyKind, Table, TableError, TableText, Target};
pub use udev::{UdevFlags, UdevMode, UdevOutcome, UdevPolicy};

/// Every decoder of the kernel's replies on the same bytes, for `fuzz/`.
#[cfg(fuzzing)]
pub fn decode_any(data: &[u8]) {
    let _ = wire::device_list(data);
    let _ = wire::deps(data);
    let _ = wire::target_versions(data);
    let count = wire::u32_at(data, 0).unwrap_or_default();
    if let Ok(table) = wire::table(data, count) {
        assert_eq!(table.lines().len(), count as usize);
        let _ = Table::from_text(&table);
        let _ = wire::encode_table(&table);
        for line in table.lines() {
            let _ = targets::parse(line.kind.as_str(), line.length.get(), line.params, line.params);
        }
    }
}
