//! The begin of an encryption: a header of its own, or one that the data make room for.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use keyslots::header::Version;
use keyslots::luks2::reencrypt::{Direction, Guard, Mode, Start, VolumeKeys, interrupted_install};
use keyslots::units::{Bytes, Sectors};
use keyslots::uuid::random_uuid;

use super::begin::{self, block, check_aligned, check_hotzone, guard};
use super::begun::{Begun, claim};
use super::keys;
use crate::block_device::file_system;
use crate::console::Persona;
use crate::crypt_device::format::{FormatRequest, FormatTarget};
use crate::crypt_device::{Confirm, HeaderPlace, LookedAt, LuksDevice, Question};
use crate::cryptsetup::commands::context::Context;
use crate::cryptsetup::commands::format::{make_volume, request};
use crate::cryptsetup::commands::secrets::passphrase_prompt;
use crate::cryptsetup::error::{CliError, ReencryptError};
use crate::header_device::{HeaderDevice, Wanted};
use crate::terminal_text::shown;
use crate::unfinished;

/// The sector size of a volume whose contents were made for none.
const SECTOR_SIZE: u32 = 512;

/// Begins the encryption of a device according to the options.
pub(super) fn encrypt(cx: &Context<'_>, device: &Path) -> Result<Begun, CliError> {
    match (&cx.options.header, cx.options.reduce_device_size) {
        (Some(_), Some(_)) => Err(ReencryptError::NothingMoves.into()),
        (Some(_), None) => detached(cx, device),
        (None, Some(reduction)) => in_place(cx, device, reduction),
        (None, None) => Err(ReencryptError::NoRoomForHeader.into()),
    }
}

/// With a header of its own, the data stay where they are.
fn detached(cx: &Context<'_>, device: &Path) -> Result<Begun, CliError> {
    let header = cx.header_device(device);
    let sector_size = cx.options.sector_size.map_or(SECTOR_SIZE, |size| size.get());
    check_file_system(cx, device, Bytes::ZERO, sector_size)?;
    check_hotzone(cx.options, block(device, sector_size)?)?;
    check_aligned(device, sector_size)?;
    let request = FormatRequest {
        sector_size: Some(sector_size),
        place: HeaderPlace::Apart,
        ..request(cx, device, &header, FormatTarget::Plaintext, Version::Luks2)
    };
    let start = |cx: &Context<'_>| {
        Ok(Start {
            mode: Mode::Encrypt,
            direction: Direction::Forward,
            guard: guard(cx.options, block(device, sector_size)?, false)?,
            ..begin::plain_start(cx, device)?
        })
    };
    format_and_begin(cx, device, request, cx, start)
}

/// All data move up by half the reduction, where the header then has the other half.
fn in_place(cx: &Context<'_>, device: &Path, reduction: Bytes) -> Result<Begun, CliError> {
    let options = cx.options;
    let mut shift = Bytes::new(reduction.get() / 2);
    if let Some(offset) = options
        .offset
        .and_then(Sectors::bytes)
        .filter(|offset| *offset > Bytes::ZERO)
    {
        if offset > shift {
            return Err(CliError::DataOffsetTooSmall(Version::Luks2));
        }
        if offset < shift {
            cx.console.say(format_args!(
                "Adjusting --reduce-device-size value to twice the --offset {} (sectors).",
                offset.get() * 2 / 512
            ));
        }
        shift = offset;
    }
    let seen = LookedAt::at(device).map_err(CliError::io("look at the device"))?;
    let sector_size = options.sector_size.map_or(SECTOR_SIZE, |size| size.get());
    check_file_system(cx, device, shift, sector_size)?;
    check_hotzone(options, block(device, sector_size)?)?;
    check_aligned(device, sector_size)?;
    let sure = Sure;
    let confirm: &dyn Confirm = match cx.console.persona() {
        // It names the file, for which the name of cryptsetup is known.
        Persona::Cryptsetup => cx,
        _ => {
            let lost = shift.get() * 2;
            let question = format!(
                "This will encrypt {} in place. Its last {lost} bytes will be lost.",
                shown(device)
            );
            if !crate::console::confirm(cx.console, &question) {
                return Err(CliError::Aborted);
            }
            &sure
        }
    };
    let uuid = match &options.uuid {
        Some(uuid) => uuid.clone(),
        None => random_uuid().map_err(CliError::io("make a UUID"))?,
    };
    let file = TemporaryHeader::new(&uuid, shift)?;
    let header = HeaderDevice::new(&file.path, !options.disable_locks);
    let request = FormatRequest {
        sector_size: Some(sector_size),
        offset: Some(shift.sectors()),
        uuid: Some(&uuid),
        place: HeaderPlace::Apart,
        ..request(cx, device, &header, FormatTarget::Plaintext, Version::Luks2)
    };
    let start = |cx: &Context<'_>| {
        Ok(Start {
            mode: Mode::Encrypt,
            direction: Direction::Backward,
            guard: Guard::None,
            shift: Some(shift),
            ..begin::plain_start(cx, device)?
        })
    };
    let begun = format_and_begin(cx, device, request, confirm, start)?;
    // From here on the file has the only header.
    let path = file.keep();
    if !seen.is_there() {
        return Err(keyslots::Error::ChangedMeanwhile.into());
    }
    install(cx, device, begun, &path)
}

/// Puts the header in the file onto the device.
pub(super) fn install(cx: &Context<'_>, device: &Path, mut begun: Begun, file: &Path) -> Result<Begun, CliError> {
    begun.volume.install_header(&mut begun.data)?;
    let on_device = HeaderDevice::new(device, !cx.options.disable_locks);
    begun.volume = LuksDevice::load(on_device, HeaderPlace::WithData, Wanted::Any, true)?;
    remove_temporary(cx, file);
    Ok(begun)
}

/// Removes the file of a header that is on the device now: its keyslots would outlive changes there.
pub(super) fn remove_temporary(cx: &Context<'_>, file: &Path) {
    if let Err(error) = fs::remove_file(file) {
        cx.console.complain(format_args!(
            "Cannot remove {}, which has a copy of the header and is not needed any more: {error}.",
            shown(file)
        ));
    }
}

/// Goes on where an encryption in place was interrupted before its header was on the device.
pub(super) fn interrupted(cx: &Context<'_>, device: &Path) -> Result<Option<Begun>, CliError> {
    let looking = CliError::io("look at the device");
    let mut file = fs::File::open(device).map_err(looking)?;
    let Some(uuid) = interrupted_install(&mut file)? else {
        return Ok(None);
    };
    let path = temporary(&uuid);
    if !path.exists() {
        return Err(ReencryptError::HeaderFileMissing {
            device: device.to_owned(),
            file: path,
        }
        .into());
    }
    let header = HeaderDevice::new(&path, !cx.options.disable_locks);
    let mut volume = LuksDevice::load(header, HeaderPlace::Apart, Wanted::Only(Version::Luks2), true)?;
    let lock = volume.lock_reencryption()?;
    let data = claim(device)?;
    let keys = keys::both(cx, &mut volume, &passphrase_prompt(device))?;
    let begun = Begun {
        volume,
        data,
        keys,
        lock,
    };
    install(cx, device, begun, &path).map(Some)
}

/// The file of a header that is not on its device yet, as cryptsetup names it.
pub(super) fn temporary(uuid: &str) -> PathBuf {
    PathBuf::from(format!("LUKS2-temp-{uuid}.new"))
}

/// Makes a header that no program recognizes until the reencryption has begun in it: before that, the data are plaintext.
fn format_and_begin(
    cx: &Context<'_>,
    device: &Path,
    request: FormatRequest<'_>,
    confirm: &dyn Confirm,
    start: impl FnOnce(&Context<'_>) -> Result<Start, CliError>,
) -> Result<Begun, CliError> {
    let header = request.header.clone();
    let is_new = !header.path().exists();
    let begun = (|| {
        let made = make_volume(cx, request, None, confirm)?;
        let mut data = claim(device)?;
        let start = start(cx)?;
        let (key, lock) = cx.changing(|changing| made.begin_encryption(changing, &header, &mut data, &start))?;
        let keys = VolumeKeys {
            old: None,
            new: Some(key),
        };
        let volume = LuksDevice::load(header.clone(), HeaderPlace::Apart, Wanted::Only(Version::Luks2), true)?;
        Ok(Begun {
            volume,
            data,
            keys,
            lock,
        })
    })();
    begun.inspect_err(|_| {
        let is_unfinished = || Ok::<_, std::io::Error>(unfinished::is_unfinished(&fs::File::open(header.path())?));
        if is_new && is_unfinished().unwrap_or(false) {
            // No data depend on it.
            let _ = fs::remove_file(header.path());
        }
    })
}

/// A file system that ends where data are lost, or stay as they are, would lose its end, and one with smaller blocks than sectors would
/// not be mounted.
fn check_file_system(cx: &Context<'_>, device: &Path, shift: Bytes, sector_size: u32) -> Result<(), CliError> {
    let looking = || CliError::io("look at the file system");
    let mut file = fs::File::open(device).map_err(looking())?;
    let size = keyslots::storage::Storage::size(&mut file).map_err(looking())?;
    let left = size.get().saturating_sub(shift.get() * 2);
    let left = cx.options.device_size.map_or(left, |size| size.get().min(left));
    let Some(found) = file_system(&mut file).map_err(looking())? else {
        return Ok(());
    };
    if found.block < sector_size {
        return Err(ReencryptError::SmallBlocks {
            device: device.to_owned(),
            name: found.name,
            block: found.block,
            sector_size,
        }
        .into());
    }
    if found.size.get() > left {
        return Err(ReencryptError::FileSystem {
            device: device.to_owned(),
            needed: found.size.get(),
            left,
        }
        .into());
    }
    Ok(())
}

/// The header of a volume before it has its place: a file in the working directory, as cryptsetup names it.
struct TemporaryHeader {
    path: PathBuf,
    keep: bool,
}

impl TemporaryHeader {
    fn new(uuid: &str, size: Bytes) -> Result<Self, CliError> {
        let path = temporary(uuid);
        let creating = || CliError::io("create the temporary header file");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(creating())?;
        let made = Self { path, keep: false };
        file.set_len(size.get()).map_err(creating())?;
        Ok(made)
    }

    fn keep(mut self) -> PathBuf {
        self.keep = true;
        std::mem::take(&mut self.path)
    }
}

impl Drop for TemporaryHeader {
    fn drop(&mut self) {
        if !self.keep {
            // No data depend on it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Consents: the question was asked before.
#[derive(Debug)]
struct Sure;

impl Confirm for Sure {
    fn confirm(&self, _question: &Question<'_>) -> bool {
        true
    }
}
