//! The remedy where the device-mapper is unreachable.

use crate::dm::{DmError, DmErrorKind};

/// Why the device-mapper is unreachable, with the remedy, in one line.
pub(crate) fn unreachable_text(error: &DmError) -> String {
    match error.kind() {
        DmErrorKind::NoDeviceMapper => {
            format!("{error}. Load it with \"modprobe dm_mod\", or use a kernel with CONFIG_BLK_DEV_DM.")
        }
        DmErrorKind::Denied => format!("{error}. Run as root, or with the capability CAP_SYS_ADMIN."),
        _ => error.to_string(),
    }
}
