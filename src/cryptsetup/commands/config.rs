//! `config`, `repair` and `convert`: changes of a header as a whole.

use std::path::Path;

use keyslots::entropy::{self, Suspect};
use keyslots::header::Version;
use keyslots::luks1::Fix;
use keyslots::luks2;
use serde_json::json;

use super::context::Context;
use super::{dump, reencrypt};
use crate::console::Persona;
use crate::crypt_device::repair::{Problem, examine, mend};
use crate::crypt_device::{Confirm as _, CryptError, KeyslotSettings, LuksDevice, Question, Settings, configure};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::{CliError, format_name};
use crate::cryptsetup::values::Priority;
use crate::data_device::DataDeviceError;
use crate::header_device::{HeaderError, Wanted};
use crate::terminal_text::shown;

/// `config`: label, subsystem, or the priority or the name of a keyslot.
pub(super) fn config(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    let options = cx.options;
    let named = options.priority.is_some() || options.slot_name.is_some();
    if options.label.is_none() && options.subsystem.is_none() && !named {
        return Err(CliError::NothingToConfigure);
    }
    let slot = match named {
        true => Some(options.key_slot.as_ref().ok_or(CliError::NothingToConfigure)?),
        false => None,
    };
    let settings = Settings {
        label: options.label.as_deref(),
        subsystem: options.subsystem.as_deref(),
        keyslot: slot.map(|slot| KeyslotSettings {
            slot,
            priority: options.priority.map(luks2_priority),
            name: options.slot_name.as_deref().map(|name| (name, options.protect)),
        }),
    };
    let header_device = cx.header_device(device);
    Ok(cx.changing(|changing| configure(changing, &header_device, &settings))?)
}

fn luks2_priority(priority: Priority) -> luks2::Priority {
    match priority {
        Priority::Ignore => luks2::Priority::Ignore,
        Priority::Normal => luks2::Priority::Normal,
        Priority::Prefer => luks2::Priority::Prefer,
    }
}

/// `repair`: lists the problems, asks, and repairs them.
pub(super) fn repair(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    let header_device = cx.header_device(device);
    let wanted = cx.wanted(device)?;
    let found = examine(&header_device, wanted)?;
    let texts: Vec<_> = found.problems.iter().map(problem_text).collect();
    for suspect in &found.suspects {
        match suspect.unreadable {
            true => cx
                .console
                .complain(format_args!("The area of keyslot {} cannot be read.", suspect.slot)),
            false => cx.console.say(suspect_text(suspect, device)),
        }
    }
    cx.tell_unfinished(&found.unfinished);
    let suspects: Vec<_> = found.suspects.iter().map(|suspect| suspect.slot).collect();
    let sound = found.problems.is_empty();
    for problem in &texts {
        cx.console.complain(problem);
    }
    // cryptsetup asks before it checks, though only for LUKS1.
    let asks = !sound || cx.console.persona() == Persona::Cryptsetup && found.version == Some(Version::Luks1);
    if asks && !cx.confirm(&Question::Repair) {
        return Err(CliError::Aborted);
    }
    match sound {
        true if found.in_reencryption => {}
        true => cx.console.verbose("No known problems detected for LUKS header."),
        false => cx.changing(|changing| mend(changing, &header_device, wanted, &found.problems))?,
    }
    if found.in_reencryption {
        reencrypt::repair(cx, device)?;
    }
    cx.console.answer(
        || json!({ "repaired": texts, "suspect_keyslots": dump::keyslot_numbers(&suspects) }),
        String::new,
    );
    Ok(())
}

/// In cryptsetup's words.
fn suspect_text(suspect: &Suspect, device: &Path) -> String {
    const SHOWN: usize = 3;
    let mut text = format!("Keyslot {} binary data could be corrupted.\n", suspect.slot);
    for offset in suspect.offsets.iter().take(SHOWN) {
        text.push_str(&format!("  Suspected offset: {:#x}\n", offset.get()));
    }
    if suspect.offsets.len() > SHOWN {
        text.push_str("  Subsequent suspected offsets are suppressed.\n");
    }
    text + &format!(
        "You can use hexdump -v -C -n {} -s <offset_0xXXXX> \"{}\" to inspect the data.",
        entropy::BLOCK,
        shown(device)
    )
}

fn problem_text(problem: &Problem) -> String {
    match problem {
        Problem::StaleCopy(which) => format!("The {} header is out of date.", copy_name(*which)),
        Problem::DamagedCopy { which, defect } => format!("The {} header is damaged: {defect}.", copy_name(*which)),
        Problem::Foreign(foreign) => format!(
            "WARNING: There is a {foreign} at byte {}: the repair may overwrite what it belongs to.",
            foreign.offset.get()
        ),
        Problem::Leftovers => "The metadata have members that older programs left behind.".to_owned(),
        Problem::Luks1(fix) => fix_text(fix),
    }
}

fn copy_name(which: luks2::format::Which) -> &'static str {
    match which {
        luks2::format::Which::Primary => "primary",
        luks2::format::Which::Secondary => "secondary",
    }
}

/// In cryptsetup's words, where it has some.
fn fix_text(fix: &Fix) -> String {
    match fix {
        Fix::HashCase(name) => format!("Cipher hash repaired to lowercase ({}).", name.to_ascii_lowercase()),
        Fix::CipherMode(mode) => format!("Cipher mode repaired ({mode} -> ecb)."),
        Fix::MaterialOffset { slot, found, fixed } => {
            format!("Keyslot {slot}: offset repaired ({} -> {}).", found.get(), fixed.get())
        }
        Fix::Stripes { slot, found } => format!("Keyslot {slot}: stripes repaired ({found} -> 4000)."),
        Fix::State { slot, found } => format!("Keyslot {slot}: state repaired ({found:#010x} -> inactive)."),
        other => format!("{other}."),
    }
}

/// `convert`.
pub(super) fn convert(cx: &Context<'_>, device: &Path, to: DeviceType) -> Result<(), CliError> {
    let to = match to {
        DeviceType::Luks1 => Version::Luks1,
        _ => Version::Luks2,
    };
    // Nothing is written before the user has agreed.
    let mut volume = LuksDevice::load(cx.header_device(device), cx.place(), Wanted::Any, true)?;
    let converted = cx.changing(|changing| volume.convert(changing, cx, device, to));
    converted.map_err(|error| match error {
        CryptError::Data(DataDeviceError::InUse { .. }) | CryptError::HeaderInUse { .. } => {
            CliError::ConvertInUse(device.to_owned())
        }
        CryptError::Declined => CliError::ConvertAborted,
        CryptError::Header(HeaderError::Luks(keyslots::Error::CannotConvert(source))) => CliError::CannotConvert {
            to: format_name(to),
            source,
        },
        error => error.into(),
    })
}
