//! `isLuks`, `luksUUID` and `luksDump`: commands that show a header and change nothing.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use keyslots::header::{Header, SlotState, Version};
use keyslots::luks2::Candidates;
use keyslots::luks2::json::{restore_bytes, strict};
use keyslots::storage::Storage as _;
use serde_json::{Value, json};

use super::access::wanted;
use super::context::Context;
use super::dump;
use super::secrets::passphrase_prompt;
use crate::block_device::{self, Topology};
use crate::console::ExitCode;
use crate::console::Persona;
use crate::console::confirm;
use crate::crypt_device::{CryptError, LuksDevice};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::{CliError, KeyslotError};
use crate::header_device::HeaderError;
use crate::terminal_text::clean;

/// `isLuks`: the answer is the exit code.
pub(super) fn is_luks(cx: &Context<'_>, device: &Path, device_type: DeviceType) -> Result<(), CliError> {
    // The exit code is the answer.
    let not_luks = || {
        let kind = wanted(device_type).name();
        CliError::Quiet(
            ExitCode::Failure,
            format!("Device {} is not a valid {kind} device.", device.display()),
        )
    };
    if !device_type.is_luks() {
        return Err(not_luks());
    }
    match cx.read(device, wanted(device_type)) {
        Ok(volume) => {
            // Without locks too, whatever overwrote the first copy is the content of the device.
            if let Some(found) = volume.opened.foreign {
                return Err(CliError::Ambiguous {
                    device: volume.device.path().to_owned(),
                    found: format!("{found} at byte {}", found.offset.get()),
                });
            }
            let version = if volume.header.version() == Version::Luks1 {
                1
            } else {
                2
            };
            cx.console
                .answer(|| json!({ "luks": true, "version": version }), String::new);
            Ok(())
        }
        Err(HeaderError::NotLuks { .. } | HeaderError::Damaged { .. } | HeaderError::Luks(_)) => Err(not_luks()),
        Err(error) => Err(error.into()),
    }
}

/// `luksUUID`: shows the UUID, or sets it.
pub(super) fn uuid(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    let header_device = cx.header_device(device);
    let wanted = cx.wanted(device)?;
    // Nothing is written before the user has agreed to the change.
    let read_only = cx.options.uuid.is_some() || cx.options.readonly;
    let volume = match LuksDevice::load(header_device, cx.place(), wanted, read_only) {
        // Under cryptsetup's name the answer is the exit code alone.
        Err(HeaderError::NotLuks { .. }) if cx.console.persona() == Persona::Cryptsetup => {
            return Err(CliError::Silent(ExitCode::Failure));
        }
        read => read?,
    };
    cx.tell_repair(&volume.device, &volume.opened);
    let Some(new) = &cx.options.uuid else {
        let uuid = volume.header.uuid();
        cx.console
            .answer(|| json!({ "uuid": uuid }), || format!("{}\n", clean(uuid)));
        return Ok(());
    };
    match cx.changing(|changing| volume.set_uuid(changing, cx, new)) {
        Err(CryptError::Declined) => {
            cx.console.complain("Operation aborted.\n");
            Err(CliError::Quiet(ExitCode::Permission, "Operation aborted.".into()))
        }
        set => Ok(set?),
    }
}

/// `luksDump` in all its forms.
pub(super) fn dump(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    let mut volume = cx.load(device, cx.wanted(device)?)?;
    if cx.options.dump_volume_key {
        return dump_key(cx, &mut volume, device);
    }
    if cx.options.unbound {
        return dump_unbound(cx, &mut volume);
    }
    let header = &volume.header;
    if cx.options.dump_json_metadata {
        let Header::Luks2(header) = header else {
            return Err(CliError::DumpUnsupported);
        };
        let metadata = Value::Object(header.metadata().to_object());
        if cx.console.json() {
            cx.console
                .answer(|| json!({ "metadata": strict(&metadata) }), String::new);
        } else {
            cx.console.write(&restore_bytes(dump::metadata_text(&metadata)));
        }
        return Ok(());
    }
    if cx.options.map {
        let size = volume
            .opened
            .file
            .size()
            .map_err(CliError::io("get the size of the device"))?;
        // A device with a detached header may not even exist.
        let data = cx
            .options
            .header
            .as_ref()
            .filter(|path| !block_device::is_same(path, device));
        let data_size = data.map(|_| Topology::of(device).map_or(0, |data| data.size.get()));
        let map = dump::Map::new(header, size.get(), data_size);
        cx.console.answer(|| map.to_json(), || map.text(volume.device.path()));
        return Ok(());
    }
    let unfinished = volume.device.shared(&mut volume.opened, |storage| {
        header.unfinished_changes(storage).map_err(HeaderError::from)
    })?;
    let json = || {
        let mut json = dump::to_json(header);
        if !unfinished.is_empty() {
            json["unfinished_changes"] = dump::keyslot_numbers(&unfinished);
        }
        json
    };
    cx.console.answer(json, || dump::text(header, volume.device.path()));
    cx.tell_unfinished(&unfinished);
    // Under the name of cryptsetup the dump is what its callers expect, and no more.
    if cx.console.persona() == Persona::Luksmith {
        for (slot, weakness) in header.weak_keyslots() {
            cx.console.complain(format_args!(
                "WARNING: Keyslot {slot} is cheap to attack: {weakness}. luksConvertKey gives it other costs."
            ));
        }
    }
    Ok(())
}

const KEY_WARNING: &str = "The header dump with volume key is sensitive information\n\
    that allows access to encrypted partition without a passphrase.\n\
    This dump should be stored encrypted in a safe place.";

fn dump_key(cx: &Context<'_>, volume: &mut LuksDevice, device: &Path) -> Result<(), CliError> {
    if !confirm(cx.console, KEY_WARNING) {
        return Err(CliError::Quiet(ExitCode::Permission, "Operation aborted.".into()));
    }
    let prompt = passphrase_prompt(device);
    let source = cx.source();
    let mut asking = cx.asking(&source, &prompt).once();
    // `--key-slot` is for `--unbound`, as with cryptsetup: the key in that slot may be another than the volume's.
    let unlocked = cx.unlock_by(volume, &mut asking, Candidates::All)?;
    let key = &unlocked.volume_key;
    let data = volume.header.data().ok_or(CliError::NoCryptSegment)?;
    let cipher = clean(data.cipher.as_str());
    let (cipher, mode) = cipher.split_once('-').unwrap_or((&cipher, ""));
    let mut text = format!(
        "LUKS header information for {}\nCipher name:   \t{cipher}\nCipher mode:   \t{mode}\nPayload offset:\t{}\n\
         UUID:          \t{}\nMK bits:       \t{}\n",
        volume.device.path().display(),
        data.offset.get(),
        clean(volume.header.uuid()),
        key.len() * 8
    );
    let facts = json!({
        "cipher": data.cipher.as_str(),
        "data_offset_sectors": data.offset.get(),
        "uuid": volume.header.uuid(),
        "key_bits": key.len() * 8,
    });
    if let Some(file) = &cx.options.volume_key_file {
        write_key(file, key.expose())?;
        text.push_str(&format!("Key stored to file {}.\n", file.display()));
        answer_with_file(cx, facts, file, text);
        return Ok(());
    }
    answer_with_key(cx, facts, text, "MK dump:\t", key.expose());
    Ok(())
}

fn dump_unbound(cx: &Context<'_>, volume: &mut LuksDevice) -> Result<(), CliError> {
    let slot = cx.key_slot(&volume.header)?.ok_or(CliError::NoUsableKeyslot)?;
    if volume.header.slot_state(slot) != SlotState::Other {
        return Err(CliError::Keyslot(KeyslotError::NotUnbound(slot)));
    }
    if !confirm(cx.console, KEY_WARNING) {
        return Err(CliError::Quiet(ExitCode::Permission, "Operation aborted.".into()));
    }
    let prompt = format!("Enter passphrase for keyslot {slot}: ");
    let source = cx.source();
    let mut asking = cx.asking(&source, &prompt).once();
    let unlocked = cx.unlock_by(volume, &mut asking, Candidates::Keyslot(slot))?;
    let key = &unlocked.volume_key;
    let facts = json!({ "uuid": volume.header.uuid(), "keyslot": slot.get(), "key_bits": key.len() * 8 });
    let head = format!(
        "LUKS header information for {}\nUUID:    \t{}\nKeyslot: \t{slot}\nKey bits:\t{}\n",
        volume.device.path().display(),
        clean(volume.header.uuid()),
        key.len() * 8
    );
    if let Some(file) = &cx.options.volume_key_file {
        write_key(file, key.expose())?;
        let text = format!("{head}Key stored to file {}.\n", file.display());
        answer_with_file(cx, facts, file, text);
        return Ok(());
    }
    answer_with_key(cx, facts, head, "Unbound Key:\t", key.expose());
    Ok(())
}

fn answer_with_file(cx: &Context<'_>, mut facts: Value, file: &Path, text: String) {
    facts["file"] = json!(file);
    if cx.console.json() {
        cx.console.answer(|| facts, String::new);
    } else {
        cx.console.write(text.as_bytes());
    }
}

fn answer_with_key(cx: &Context<'_>, facts: Value, head: String, name: &str, key: &[u8]) {
    if cx.console.json() {
        cx.console.answer(|| facts, String::new);
        cx.console.answer_key(key);
    } else {
        cx.console.write(head.as_bytes());
        write_key_lines(cx, name, key);
    }
}

/// The one place where a key is printed: requested by name, and wiped as soon as it is printed.
fn write_key_lines(cx: &Context<'_>, name: &str, key: &[u8]) {
    // Room for all of it from the start: a String that grows leaves its old place unwiped.
    let mut text = zeroize::Zeroizing::new(String::with_capacity(name.len() + key.len() * 4 + 8));
    text.push_str(name);
    for (n, byte) in key.iter().enumerate() {
        if n > 0 && n % 16 == 0 {
            text.push_str("\n\t\t");
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
        text.push(' ');
    }
    text.push('\n');
    cx.console.write(text.as_bytes());
}

fn write_key(file: &Path, key: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::KeyFileWrite {
        path: file.to_owned(),
        source,
    };
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(file)
        .map_err(failed)?;
    out.write_all(key).and_then(|()| out.sync_all()).map_err(failed)
}
