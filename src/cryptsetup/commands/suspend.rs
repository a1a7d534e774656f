//! `luksSuspend` and `luksResume`.

use super::active::mapped_at_all;
use super::context::Context;
use crate::crypt_device;
use crate::cryptsetup::error::CliError;

/// Freezes a mapping and takes its key away.
pub(super) fn suspend(name: &str) -> Result<(), CliError> {
    crypt_device::suspend(name).map_err(|error| mapped_at_all(error.into()))
}

/// Asks for a passphrase, and gives the key back.
pub(super) fn resume(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    let limits = cx.cost_limits();
    crypt_device::resume(name, cx.wanted_header(), &cx.luks_mapping(&limits), cx).map_err(mapped_at_all)
}
