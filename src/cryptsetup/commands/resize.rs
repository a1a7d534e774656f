//! `resize`.

use keyslots::units::Bytes;

use super::active::mapped_at_all;
use super::context::Context;
use crate::crypt_device::{self, ResizeRequest};
use crate::cryptsetup::error::CliError;

pub(super) fn resize(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    // A size of zero means the whole device, as with cryptsetup.
    let asked = cx.options.size.or(cx.options.device_size.map(Bytes::sectors));
    let request = ResizeRequest {
        size: asked.filter(|size| size.get() > 0),
        may_use_keyring: !cx.options.disable_keyring,
        limits: &cx.cost_limits(),
    };
    crypt_device::resize(name, &request, cx).map_err(mapped_at_all)
}
