//! The devices that tables name by their numbers, for people.

use crate::block_device::dm_name_and_uuid;
use crate::dm::DeviceRef;
use crate::terminal_text::clean;

/// A device in a table: its name and its number, or its path.
pub(crate) fn device_text(device: &DeviceRef) -> String {
    let DeviceRef::Number(number) = device else {
        return clean(&device.to_string());
    };
    let mapped = || dm_name_and_uuid(*number).map(|(name, _)| name);
    match mapped().or_else(|| number.kernel_name()) {
        Some(name) => format!("{} ({number})", clean(&name)),
        None => number.to_string(),
    }
}
