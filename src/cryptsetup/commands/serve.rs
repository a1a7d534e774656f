//! Volumes without the device-mapper, in `open`, `close` and `status`: a file that this program itself serves.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use keyslots::header::{Header, Version};
use serde_json::{Value, json};

use super::context::Context;
use super::keyring_keys::{Link, linked};
use super::plain::{self, Encryption};
use super::plaintext::check_whole;
use crate::block_device::loops_on;
use crate::console::ExitCode;
use crate::console::Persona;
use crate::cryptsetup::error::{CliError, MappingError};
use crate::cryptsetup::values::Backend;
use crate::dm::{Dm, DmErrorKind};
use crate::header_device::Wanted;
use crate::userspace::{
    self, Access, Description, Registry, ServeError, Served, UserspaceError, check_name, claim_device,
};
use crate::volume;

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
    let name = name.strip_prefix("/dev/mapper/").unwrap_or(name);
    check_free(name)?;
    let link = Link::from_options(cx)?;
    let mut volume = cx.load(device, wanted)?;
    let layout = volume.layout(device)?;
    layout.cipher.spec()?;
    let (mut data, access) = open_data(cx, device)?;
    volume.check_data(&layout, device, &data)?;
    check_whole(device, &mut data, &layout)?;
    let key = cx.data_key(&mut volume, device)?;
    layout.cipher.spec()?.check_key_len(key.len())?;
    let description = Description {
        device: fs::canonicalize(device).map_err(CliError::io("find the device"))?,
        kind: match volume.header.version() {
            Version::Luks1 => "LUKS1".into(),
            Version::Luks2 => "LUKS2".into(),
        },
        uuid: Some(volume.header.uuid().to_owned()),
        cipher: layout.cipher.to_string(),
        key_len: key.len(),
        sector_size: layout.sector_size,
        iv_large_sectors: false,
        offset: layout.offset,
        fixed_size: layout.size,
        iv_offset: layout.iv_offset,
        read_only: access == Access::Read,
        allow_discards: volume.flags(cx.flags(), cx.options.persistent).allow_discards,
    };
    let path = linked(link.as_ref(), &key, || {
        Ok(userspace::start(name, &description, data, &key)?)
    })?;
    if cx.options.persistent && matches!(volume.header, Header::Luks2(_)) {
        cx.remember_flags(&volume)?;
    }
    say_where(cx, name, &path, why);
    Ok(())
}

/// `open` of a plain volume, whose server gets an unverifiable key.
pub(super) fn open_plain(cx: &Context<'_>, device: &Path, name: &str, why: Why) -> Result<(), CliError> {
    let name = name.strip_prefix("/dev/mapper/").unwrap_or(name);
    check_free(name)?;
    let encryption = Encryption::from_options(cx)?;
    encryption.warn(cx);
    let layout = encryption.layout(cx, cx.options.offset);
    layout.cipher.spec()?.check_key_len(encryption.key_len())?;
    let (mut data, access) = open_data(cx, device)?;
    check_whole(device, &mut data, &layout)?;
    plain::warn_before_open(cx, device, layout.offset)?;
    let key = encryption.key(cx, device)?;
    let description = Description {
        device: fs::canonicalize(device).map_err(CliError::io("find the device"))?,
        kind: "PLAIN".into(),
        uuid: None,
        cipher: layout.cipher.to_string(),
        key_len: key.len(),
        sector_size: layout.sector_size,
        iv_large_sectors: cx.options.iv_large_sectors,
        offset: layout.offset,
        fixed_size: layout.size,
        iv_offset: layout.iv_offset,
        read_only: access == Access::Read,
        allow_discards: cx.options.allow_discards,
    };
    let path = userspace::start(name, &description, data, &key)?;
    say_where(cx, name, &path, why);
    Ok(())
}

/// Opens the device as the options request, or for reading if it cannot be written to, like the kernel.
fn open_data(cx: &Context<'_>, device: &Path) -> Result<(fs::File, Access), CliError> {
    let access = if cx.options.readonly {
        Access::Read
    } else {
        Access::Write
    };
    match claim_device(device, access) {
        Err(UserspaceError::NotWritable { .. }) => Ok((claim_device(device, Access::Read)?, Access::Read)),
        data => Ok((data?, access)),
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

/// Checks that the name is free, both here and in the kernel.
fn check_free(name: &str) -> Result<(), CliError> {
    // A name that the kernel would not take is invalid here too.
    let mapping = volume::new_name(name)?;
    check_name(name)?;
    check_not_served(name)?;
    match Dm::open() {
        Ok(dm) => Ok(volume::check_free(&dm, &mapping)?),
        Err(_) => Ok(()),
    }
}

/// Checks that no served volume has the name.
pub(super) fn check_not_served(name: &str) -> Result<(), CliError> {
    match find(name) {
        Some(served) if served.alive => Err(CliError::Mapping(MappingError::AlreadyMapped(served.name))),
        _ => Ok(()),
    }
}

/// The served volume of this name, which may be given as a path.
pub(super) fn find(name: &str) -> Option<Served> {
    let registry = Registry::existing()?;
    let given = Path::new(name);
    let name = match given.file_name() {
        Some(last) if given.is_absolute() && registry.path(&last.to_string_lossy()) == given => last.to_str()?,
        _ => name,
    };
    registry.find(name)
}

/// `close` of a served volume.
pub(super) fn close(served: &Served) -> Result<(), CliError> {
    let registry = Registry::open()?;
    match registry.close(&served.name) {
        Err(ServeError::Busy(name)) => Err(CliError::Mapping(MappingError::ServedInUse {
            name,
            loops: fs::metadata(&served.path).map_or_else(|_| Vec::new(), |file| loops_on(&file)),
        })),
        closed => Ok(closed?),
    }
}

/// `status` of a served volume.
pub(super) fn status(cx: &Context<'_>, served: &Served) -> Result<(), CliError> {
    if !served.alive {
        let text = format!(
            "{} is inactive: its server ended without being closed.",
            served.path.display()
        );
        cx.console.say(&text);
        return Err(CliError::Quiet(ExitCode::WrongDevice, text));
    }
    // A server that is stopped would not answer.
    let stopped = served.is_stopped();
    let size = if stopped {
        None
    } else {
        fs::metadata(&served.path).ok().map(|metadata| metadata.len())
    };
    cx.console
        .answer(|| to_json(served, size, stopped), || text(served, size, stopped));
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
fn text(served: &Served, size: Option<u64>, stopped: bool) -> String {
    let description = &served.description;
    let mut out = format!("{} is active.\n", served.path.display());
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "  {text}").expect("a String takes all");
    line(format_args!("type:    {}", description.kind));
    line(format_args!("cipher:  {}", description.cipher));
    line(format_args!("keysize: {} [bits]", description.key_len * 8));
    line(format_args!("key location: userspace"));
    line(format_args!("device:  {}", description.device.display()));
    line(format_args!("sector size:  {} [bytes]", description.sector_size));
    let offset = description.offset;
    let bytes = offset.bytes().map_or(u64::MAX, keyslots::units::Bytes::get);
    line(format_args!(
        "offset:  {} [512-byte units] ({bytes} [bytes])",
        offset.get()
    ));
    if let Some(size) = size {
        line(format_args!(
            "size:    {} [512-byte units] ({size} [bytes])",
            size / 512
        ));
    }
    line(format_args!("mode:    {}", mode(served)));
    if description.allow_discards {
        line(format_args!("flags:   discards "));
    }
    let stopped = if stopped { ", stopped" } else { "" };
    line(format_args!("backend: userspace (process {}{stopped})", served.pid));
    out
}

fn to_json(served: &Served, size: Option<u64>, stopped: bool) -> Value {
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
        "size_sectors": size.map(|size| size / 512),
        "stopped": stopped,
        "iv_offset_sectors": description.iv_offset.get(),
        "read_only": description.read_only,
        "flags": if description.allow_discards { vec!["discards"] } else { vec![] },
    })
}
