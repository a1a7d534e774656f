//! Destroying keyslots: `luksKillSlot`, `erase`, and the end of `luksRemoveKey`.

use std::path::Path;

use keyslots::KeyslotId;
use keyslots::header::SlotState;
use keyslots::luks2::Candidates;
use serde_json::json;

use super::context::Context;
use super::dump;
use super::secrets::Source;
use crate::console::ExitCode;
use crate::console::Persona;
use crate::crypt_device::{CryptError, LuksDevice};
use crate::cryptsetup::error::{CliError, KeyslotError};
use crate::cryptsetup::values::SlotRef;
use crate::passphrase::{PassphraseError, is_interactive};

/// `luksKillSlot`: with `--batch-mode` no prompt for another passphrase appears.
pub(super) fn kill_slot(cx: &Context<'_>, device: &Path, slot: &SlotRef) -> Result<(), CliError> {
    let mut volume = cx.peek(device, cx.wanted(device)?)?;
    let number = slot.number(&volume.header)?;
    match volume.header.slot_state(number) {
        // cryptsetup prints nothing.
        SlotState::OutOfRange if cx.console.persona() == Persona::Cryptsetup => {
            return Err(CliError::Silent(ExitCode::Failure));
        }
        SlotState::OutOfRange => {
            return Err(CliError::Keyslot(KeyslotError::Invalid {
                slot: number,
                last: KeyslotId::last(volume.header.version()),
            }));
        }
        SlotState::Inactive => return Err(CliError::Keyslot(KeyslotError::Inactive(number))),
        SlotState::Active | SlotState::ActiveLast | SlotState::Other => {}
    }
    announce(cx, number);
    confirm_last(cx, &volume, number)?;
    // With --batch-mode no prompt appears; a passphrase that is given anyway must be right.
    let asks = !cx.console.batch() || cx.key_file().is_some();
    if asks || !is_interactive() {
        let source = Source::of(cx.key_file());
        let mut asking = cx.asking_for_keyslots(&source, "Enter any remaining passphrase: ");
        let proven = cx.unlocking(Candidates::All, |request| {
            volume.prove_another(number, request, &mut asking)
        });
        match proven {
            Err(error @ CliError::Passphrase(PassphraseError::NothingToRead)) if empty_input_will_do(cx, asks) => {
                if cx.console.persona() == Persona::Cryptsetup {
                    cx.console.complain(error);
                }
            }
            outcome => outcome?,
        }
    }
    let name = match slot {
        SlotRef::Name(name) => Some(name.as_str()),
        SlotRef::Number(_) => cx.options.slot_name.as_deref(),
    };
    remove_slot(cx, &volume, number, name)
}

/// Whether a keyslot is destroyed without a passphrase because standard input is empty. cryptsetup reports that there is
/// nothing to read and wipes the keyslot, confirmed or not, and scripts rely on that; we skip the confirmation only if none
/// was due.
fn empty_input_will_do(cx: &Context<'_>, asks: bool) -> bool {
    let stdin = cx.key_file().is_none_or(|file| file == Path::new("-"));
    let as_reference = cx.console.persona() == Persona::Cryptsetup && stdin && !is_interactive();
    !asks || as_reference
}

/// Reports which keyslot will be destroyed.
pub(super) fn announce(cx: &Context<'_>, slot: KeyslotId) {
    cx.console
        .verbose(format_args!("Keyslot {slot} is selected for deletion."));
}

/// Asks for confirmation if it is the last one.
pub(super) fn confirm_last(cx: &Context<'_>, volume: &LuksDevice, slot: KeyslotId) -> Result<(), CliError> {
    volume.confirm_removal(cx, slot).map_err(|error| match error {
        CryptError::Declined => CliError::Keyslot(KeyslotError::LastSlotKept),
        error => error.into(),
    })
}

/// Destroys a keyslot, after [`confirm_last`], for a user who gives `name`.
pub(super) fn remove_slot(
    cx: &Context<'_>,
    volume: &LuksDevice,
    slot: KeyslotId,
    name: Option<&str>,
) -> Result<(), CliError> {
    cx.changing(|changing| volume.remove_keyslot(changing, slot, name))?;
    cx.console.verbose(format_args!("Key slot {slot} removed."));
    cx.console.answer(|| json!({ "keyslot": slot.get() }), String::new);
    Ok(())
}

/// `erase`: destroys all keyslots, and with them the data.
pub(super) fn erase(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    if cx.options.hw_opal_factory_reset {
        return Err(CliError::NeedsOpal);
    }
    let volume = cx.peek(device, cx.wanted(device)?)?;
    let name = cx.options.slot_name.as_deref();
    let removed = cx.changing(|changing| volume.erase_keyslots(changing, cx, device, name));
    let removed = removed.map_err(|error| match error {
        CryptError::Declined => CliError::EraseAborted,
        error => error.into(),
    })?;
    cx.console
        .answer(|| json!({ "keyslots": dump::keyslot_numbers(&removed) }), String::new);
    for slot in removed {
        cx.console.verbose(format_args!("Key slot {slot} removed."));
    }
    Ok(())
}
