//! Names and UUIDs as users type them, and the messages for invalid ones.

use crate::dm::{DeviceName, DeviceUuid, Mangling, NameError, Printable};

use super::error::Failure;

/// The name that was typed.
pub(super) fn name(typed: &[u8], mangling: Mangling) -> Result<DeviceName, Failure> {
    if typed.contains(&b'/') {
        return Err(Failure::because(format_args!(
            "Name \"{}\" invalid. It contains \"/\".",
            Printable(typed)
        )));
    }
    DeviceName::mangled(typed, mangling).map_err(|error| refused(&error, typed, "name"))
}

/// The UUID that was typed.
pub(super) fn uuid(typed: &[u8], mangling: Mangling) -> Result<DeviceUuid, Failure> {
    DeviceUuid::mangled(typed, mangling).map_err(|error| refused(&error, typed, "UUID"))
}

fn refused(error: &NameError, typed: &[u8], what: &str) -> Failure {
    let (shown, lower) = (Printable(typed), what.to_ascii_lowercase());
    Failure::Command(match error {
        NameError::TooLong { limit, .. } if what == "name" && typed.len() > *limit => {
            format!("Name \"{shown}\" too long.")
        }
        NameError::TooLong { .. } => format!(
            "Mangled form of the {what} too long for \"{shown}\".\nFailed to mangle device {lower} \"{shown}\"."
        ),
        NameError::MixedMangling { .. } => format!(
            "The {what} \"{shown}\" contains mixed mangled and unmangled characters or it's already mangled \
             improperly.\nFailed to mangle device {lower} \"{shown}\"."
        ),
        other => format!("Invalid {what} \"{shown}\": {other}."),
    })
}
