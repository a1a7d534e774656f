//! `luksHeaderBackup` and `luksHeaderRestore`.

use std::fs::File;
use std::path::Path;

use keyslots::backup::{AtRisk, Backup, BackupRefused, Restore};
use keyslots::header::{Header, Version};
use keyslots::storage::Storage;
use keyslots::{luks1, luks2};
use serde_json::json;

use super::context::Context;
use crate::block_device::{self, DevNo, Holder, is_same_file};
use crate::console::ExitCode;
use crate::console::Persona;
use crate::console::confirm;
use crate::crypt_device::{Others, check_header_unused, open_to_look};
use crate::cryptsetup::error::{CliError, ImageError};
use crate::data_device::{self, DataDeviceError};
use crate::dm::DeviceUuid;
use crate::header_backup;
use crate::header_device::{HeaderDevice, Opened, Wanted};
use crate::passphrase;
use crate::same_bytes::{is_same, lies_on};
use crate::terminal_text::shown;
use crate::volume::Identity;

/// `luksHeaderBackup`: the file is new, read-only, and was read back.
pub(super) fn backup(cx: &Context<'_>, device: &Path, file: &Path) -> Result<(), CliError> {
    let header_device = cx.header_device(device);
    let (_, mut opened) = cx.read_header(&header_device, Wanted::Any)?;
    header_device.shared(&mut opened, |storage| -> Result<(), CliError> {
        // Under one lock with the copying.
        let header = Header::read(storage)?;
        Ok(header_backup::write(&header, storage, file)?)
    })?;
    let on_itself = || lies_on(&File::open(file).ok()?, &open_to_look(device).ok()?).ok();
    if cx.console.persona() == Persona::Luksmith && on_itself() == Some(true) {
        cx.console.complain(format_args!(
            "WARNING: {} is on the volume that it is to save: keep a copy elsewhere.",
            shown(file)
        ));
    }
    cx.console.answer(|| json!({ "file": file }), String::new);
    Ok(())
}

/// `luksHeaderRestore`: onto a device, or into a file, which grows if necessary.
pub(super) fn restore(cx: &Context<'_>, device: &Path, file: &Path) -> Result<(), CliError> {
    let header_device = cx.header_device(device);
    let mut opened = header_device.open(false)?;
    let mut source = File::open(file).map_err(|_| CliError::BackupFileUnreadable(file.to_owned()))?;
    let backup = Backup::read(&mut source).map_err(|error| CliError::BackupInvalid {
        file: file.to_owned(),
        source: error,
    })?;

    let device_path = header_device.path();
    if is_same(&opened.file, &source).map_err(CliError::io("look at the backup"))? {
        return Err(CliError::Image(ImageError::SourceIsTarget(file.to_owned())));
    }

    let there = header_device.shared(&mut opened, read_header)?;
    let used = data_device::check_destroyable(device_path);
    check_use(device_path, &mut opened.file, there.as_ref(), &backup, used)?;
    let plan = check(&backup, &header_device, &mut opened, there.as_ref())?;
    let at_risk = header_device.shared(&mut opened, |storage| -> Result<AtRisk, CliError> {
        Ok(backup.at_risk(&mut source, storage, there.as_ref())?)
    })?;
    let mut notes = String::new();
    if revives(&plan) {
        notes.push_str(&revival(&plan));
    }
    notes.push_str(what_a_stop_costs(at_risk));
    if !cx.console.batch() && !passphrase::is_interactive() && !notes.is_empty() {
        cx.console.complain(notes.trim_start());
    }
    if !confirm(cx.console, &(warning(&backup, &header_device, &plan) + &notes)) {
        return Err(CliError::Quiet(ExitCode::Failure, "Operation aborted.".into()));
    }
    cx.changing(|changing| {
        changing.exclusive(
            &header_device,
            Others::May,
            |target, was_luks1| -> Result<(), CliError> {
                let there = read_header(target)?;
                // What was asked about is what happens, on the very descriptor that is written to.
                if !is_same_file(&opened.file, target).map_err(CliError::io("look at the device"))? {
                    return Err(keyslots::Error::ChangedMeanwhile.into());
                }
                let (_claim, used) = match data_device::claim(target, device_path) {
                    Ok(claim) => (Some(claim), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                check_use(device_path, target, there.as_ref(), &backup, used)?;
                if check(&backup, &header_device, &mut opened, there.as_ref())? != plan
                    || at_risk != backup.at_risk(&mut source, target, there.as_ref())?
                {
                    return Err(keyslots::Error::ChangedMeanwhile.into());
                }
                if let Some(there) = &there {
                    cx.back_up(there, target)?;
                }
                header_device.grow_file(target, backup.size())?;
                // Whatever stopped it, the device may be between the two headers now.
                backup
                    .restore(&mut source, target, there.as_ref())
                    .map_err(|error| match error {
                        untouched @ keyslots::Error::ChangedMeanwhile => untouched.into(),
                        error => CliError::RestoreUnfinished(error),
                    })?;
                let restored = match &backup {
                    Backup::Luks1(backup) => Header::Luks1(backup.header().clone()),
                    Backup::Luks2(_) => Header::read(target)?,
                };
                if restored.version() != backup.version() || restored.uuid() != backup.uuid() {
                    return Err(keyslots::Error::ChangedMeanwhile.into());
                }
                if was_luks1 || restored.luks1().is_some() {
                    changing.look_again(&header_device, target, &restored, None)?;
                }
                Ok(())
            },
        )
    })?;
    cx.console.answer(|| json!({ "revived": plan.revives }), String::new);
    Ok(())
}

fn what_a_stop_costs(at_risk: AtRisk) -> &'static str {
    match at_risk {
        AtRisk::Nothing => "",
        AtRisk::OneKeyslot => {
            "\nWARNING: if this is interrupted, one key slot may open with neither its old nor its new passphrase, while the \
            others open: keep the backup file, and restore it again if that happens."
        }
        AtRisk::AllButOne => {
            "\nWARNING: the backup has another volume key. If this is interrupted, one key slot of the backup may be all that opens, \
            and no old passphrase: keep the backup file, and restore it again if that happens."
        }
        AtRisk::Header => {
            "\nWARNING: if this is interrupted, neither the old header nor the new one is left whole: keep the backup file, \
            and restore it again if that happens."
        }
    }
}

/// The existing header; a damaged one counts as none.
fn read_header(storage: &mut dyn Storage) -> Result<Option<Header>, CliError> {
    match Header::read(storage) {
        Ok(header) => Ok(Some(header)),
        Err(error @ keyslots::Error::Io { .. }) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// A header may be restored under an active volume that it belongs to, and under no other: overwriting a file system, or
/// the only header of another volume, would lose it.
fn check_use(
    device: &Path,
    file: &mut File,
    there: Option<&Header>,
    backup: &Backup,
    used: Result<(), DataDeviceError>,
) -> Result<(), CliError> {
    if there.is_some_and(|there| there.uuid() == backup.uuid()) {
        return Ok(());
    }
    check_header_unused(file, device)?;
    match used {
        Err(DataDeviceError::InUse { holders, .. }) if is_of_mapping(&holders, backup) => Ok(()),
        used => Ok(used?),
    }
}

/// Whether all holders of a device are mappings of the backup's volume: then its header was damaged, and is restored.
fn is_of_mapping(holders: &[Holder], backup: &Backup) -> bool {
    let is_of = |holder: &Holder| match holder {
        Holder::Device { kernel_name, .. } => {
            let number = DevNo::of_path(&Path::new("/dev").join(kernel_name)).ok().flatten();
            let uuid = number.and_then(block_device::dm_name_and_uuid).map(|(_, uuid)| uuid);
            let identity = match backup.version() {
                Version::Luks1 => Identity::Luks1(backup.uuid().to_owned()),
                Version::Luks2 => Identity::Luks2(backup.uuid().to_owned()),
            };
            uuid.and_then(|uuid| DeviceUuid::new(uuid).ok())
                .is_some_and(|uuid| identity.is_of(&uuid))
        }
        Holder::Process { .. } => true,
        _ => false,
    };
    !holders.is_empty() && holders.iter().all(is_of)
}

fn check(
    backup: &Backup,
    device: &HeaderDevice,
    opened: &mut Opened,
    there: Option<&Header>,
) -> Result<Restore, CliError> {
    let size = match opened.number {
        Some(_) => Some(opened.file.size().map_err(CliError::io("get the size of the device"))?),
        None => None,
    };
    backup.check(there, size).map_err(|refused| match refused {
        BackupRefused::Luks1(luks1::BackupRefused::PayloadOffset { .. } | luks1::BackupRefused::KeySize { .. }) => {
            CliError::RestoreLayout("Data offset or key size differs")
        }
        BackupRefused::Luks2(
            luks2::backup::BackupRefused::DataOffset { .. } | luks2::backup::BackupRefused::Size { .. },
        ) => CliError::RestoreLayout("Data offset differ"),
        BackupRefused::Luks1(luks1::BackupRefused::DoesNotFit { needed, .. })
        | BackupRefused::Luks2(luks2::backup::BackupRefused::DoesNotFit { needed, .. }) => CliError::DeviceTooSmall {
            device: device.path().to_owned(),
            needed,
        },
        BackupRefused::Luks2(luks2::backup::BackupRefused::Requirement(name)) => CliError::BackupRequirement(name),
    })
}

fn warning(backup: &Backup, device: &HeaderDevice, plan: &Restore) -> String {
    let kind = match backup.version() {
        Version::Luks1 => "LUKS",
        Version::Luks2 => "LUKS2",
    };
    let device = shown(device.path());
    if !plan.replaces {
        return format!(
            "Device {device} does not contain {kind} header. Replacing header can destroy data on that device."
        );
    }
    let mut text =
        format!("Device {device} already contains {kind} header. Replacing header will destroy existing keyslots.");
    if !plan.same_uuid {
        text.push_str("\nWARNING: real device header has different UUID than backup!");
    }
    text
}

fn revives(plan: &Restore) -> bool {
    plan.replaces && !plan.revives.is_empty()
}

fn revival(plan: &Restore) -> String {
    let slots: Vec<String> = plan.revives.iter().map(u32::to_string).collect();
    format!(
        "\nWARNING: keyslots that the device does not have as they are in the backup come back ({}): passphrases that \
         were removed or changed since will open the device again.",
        slots.join(", ")
    )
}
