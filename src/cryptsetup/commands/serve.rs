//! Volumes without the device-mapper, in `open`, `close` and `status`: a file that this program itself serves.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::context::Context;
use super::keyring_keys::key_link;
use super::plain::{self, Encryption};
use super::status::in_units;
use super::status::inactive;
use crate::console::Persona;
use crate::crypt_device::{ClosedVolume, Format, KeyLink, OwnAccess, PlainUse, ServedStatus, free_served_name};
use crate::cryptsetup::error::CliError;
use crate::cryptsetup::values::Backend;
use crate::dm::{Dm, DmErrorKind};
use crate::header_device::Wanted;
use crate::userspace::Served;

/// Why a volume is served from userspace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// `--backend userspace`.
    Asked,
    /// Nothing else is possible.
    NoDeviceMapper,
}

/// Whether `open` should serve the volume, and why. Never automatically under the name of cryptsetup, whose callers
/// expect a block device.
pub(super) fn wanted(cx: &Context<'_>) -> Option<Why> {
    match cx.options.backend {
        Some(Backend::Userspace) => Some(Why::Asked),
        Some(Backend::Kernel) => None,
        None if cx.console.persona() == Persona::Cryptsetup => None,
        None => {
            let missing = Dm::open().is_err_and(|error| error.kind() == DmErrorKind::NoDeviceMapper);
            missing.then_some(Why::NoDeviceMapper)
        }
    }
}

/// `open`: unlocks the volume and starts its server.
pub(super) fn open(cx: &Context<'_>, device: &Path, name: &str, wanted: Wanted, why: Why) -> Result<(), CliError> {
    // Errors that are certain are reported before the prompt for a passphrase.
    let name = free_served_name(name)?;
    let link = key_link(cx)?;
    let mut volume = cx.load(device, wanted)?;
    let closed = ClosedVolume::luks(device, &volume)?;
    closed.layout().cipher.spec()?;
    let data = closed.own_data(Format::Luks(&volume), access(cx), true)?;
    let key = cx.data_key(&mut volume, device)?;
    let format = Format::Luks(&volume);
    let flags = format.flags(cx.flags(), cx.options.persistent);
    let path = KeyLink::during(link.as_ref(), &key, || {
        closed.serve(name, format, data, flags.allow_discards, &key)
    })?;
    if cx.options.persistent && volume.header.luks2().is_some() {
        cx.remember_flags(&volume)?;
    }
    say_where(cx, name, &path, why);
    Ok(())
}

/// `open` of a plain volume, whose server gets an unverifiable key.
pub(super) fn open_plain(cx: &Context<'_>, device: &Path, name: &str, why: Why) -> Result<(), CliError> {
    let name = free_served_name(name)?;
    let encryption = Encryption::from_options(cx)?;
    encryption.warn(cx);
    let layout = encryption.layout(cx, cx.options.offset);
    layout.cipher.spec()?.check_key_len(encryption.key_len())?;
    let (closed, format) = (ClosedVolume::plain(device, layout)?, Format::Plain(plain::options(cx)));
    let data = closed.own_data(format, access(cx), true)?;
    plain::confirm(cx, &closed, PlainUse::Open)?;
    let key = encryption.key(cx, device)?;
    let path = closed.serve(name, format, data, cx.options.allow_discards, &key)?;
    say_where(cx, name, &path, why);
    Ok(())
}

fn access(cx: &Context<'_>) -> OwnAccess {
    OwnAccess::Serve {
        read_only: cx.options.readonly,
    }
}

fn say_where(cx: &Context<'_>, name: &str, path: &Path, why: Why) {
    let shown = path.display();
    cx.console.answer(
        || json!({ "name": name, "path": path.to_string_lossy(), "backend": "userspace" }),
        || match why {
            Why::Asked => format!("{name} is served from userspace: its data are the file {shown}.\n"),
            Why::NoDeviceMapper => format!(
                "This kernel has no device-mapper, so {name} is served from userspace: its data are the file {shown}.\n"
            ),
        },
    );
}

/// `status` of a served volume.
pub(super) fn status(cx: &Context<'_>, status: &ServedStatus) -> Result<(), CliError> {
    let served = &status.served;
    if !served.alive {
        let text = format!(
            "{} is inactive: its server ended without being closed.",
            served.path.display()
        );
        return Err(inactive(cx, text));
    }
    cx.console.answer(|| to_json(status), || text(status));
    Ok(())
}

fn mode(served: &Served) -> &'static str {
    if served.description.read_only {
        "readonly"
    } else {
        "read/write"
    }
}

/// The lines of a mapping's status, and the server.
pub(super) fn text(status: &ServedStatus) -> String {
    let served = &status.served;
    let description = &served.description;
    let mut out = format!("{} is active.\n", served.path.display());
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "  {text}").expect("a String takes all");
    line(format_args!("type:    {}", description.kind));
    line(format_args!("cipher:  {}", description.cipher));
    line(format_args!("keysize: {} [bits]", description.key_len * 8));
    line(format_args!("key location: userspace"));
    line(format_args!("device:  {}", description.device.display()));
    line(format_args!("sector size:  {} [bytes]", description.sector_size));
    line(format_args!("offset:  {}", in_units(description.offset)));
    if let Some(size) = status.size {
        line(format_args!("size:    {}", in_units(size.sectors())));
    }
    line(format_args!("mode:    {}", mode(served)));
    if description.allow_discards {
        line(format_args!("flags:   discards "));
    }
    let stopped = if status.stopped { ", stopped" } else { "" };
    line(format_args!("backend: userspace (process {}{stopped})", served.pid));
    out
}

pub(super) fn to_json(status: &ServedStatus) -> Value {
    let served = &status.served;
    let description = &served.description;
    json!({
        "name": served.name,
        "path": served.path.to_string_lossy(),
        "active": true,
        "backend": "userspace",
        "pid": served.pid,
        "type": description.kind,
        "uuid": description.uuid,
        "cipher": description.cipher,
        "key_bits": description.key_len * 8,
        "key_location": "userspace",
        "device": description.device.to_string_lossy(),
        "sector_size": description.sector_size,
        "offset_sectors": description.offset.get(),
        "size_sectors": status.size.map(|size| size.sectors().get()),
        "stopped": status.stopped,
        "iv_offset_sectors": description.iv_offset.get(),
        "read_only": description.read_only,
        "flags": if description.allow_discards { vec!["discards"] } else { vec![] },
    })
}
