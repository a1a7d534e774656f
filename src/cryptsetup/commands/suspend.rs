//! `luksSuspend` and `luksResume`.

use super::access::wanted;
use super::active::mapped_at_all;
use super::context::Context;
use crate::crypt_device;
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::CliError;
use crate::header_device::Wanted;

/// Freezes a mapping and takes its key away.
pub(super) fn suspend(name: &str) -> Result<(), CliError> {
    crypt_device::suspend(name).map_err(|error| mapped_at_all(error.into()))
}

/// Asks for a passphrase, and gives the key back.
pub(super) fn resume(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    let asked = cx.options.device_type.as_deref().and_then(DeviceType::from_name);
    let asked = asked.map_or(Wanted::Any, wanted);
    let limits = cx.cost_limits();
    crypt_device::resume(name, asked, &cx.luks_mapping(&limits), cx).map_err(mapped_at_all)
}
