//! The work on a reencryption that has begun.

use std::ops::ControlFlow;
use std::path::Path;

use keyslots::luks2::reencrypt::{Mode, Reencryption, State};
use keyslots::units::Bytes;
use serde_json::json;

use super::begin::block;
use super::begun::Begun;
use super::interrupts::Interrupts;
use super::progress::Shown;
use crate::console::{Persona, confirm};
use crate::crypt_device::reencrypt::{Ended, Pace};
use crate::cryptsetup::commands::context::Context;
use crate::cryptsetup::error::{CliError, ReencryptError};
use crate::terminal_text::shown;

/// Works until everything is converted, or a signal comes.
pub(super) fn run(cx: &Context<'_>, device: &Path, mut begun: Begun) -> Result<(), CliError> {
    let (options, pace) = (cx.options, pace(cx, device)?);
    if cx.console.persona() == Persona::Cryptsetup && options.force_offline_reencrypt && !cx.console.batch() {
        cx.console.say("Resuming LUKS reencryption in forced offline mode.");
    }
    if let Some(found) = begun.volume.reencryption()?
        && matches!(found.state, State::Finished | State::Wiping)
    {
        return end(cx, device, begun, &found);
    }
    let signals = Interrupts::hold()?;
    let mut shown = Shown::new(cx, device);
    let ended = cx.changing(|changing| {
        let mut each = |done: Bytes, of: Bytes| {
            shown.at(done.get(), of.get());
            match signals.came() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let (keys, lock) = (&begun.keys, &begun.lock);
        begun
            .volume
            .continue_reencryption(changing, &mut begun.data, (keys, lock), pace, &mut each)
    })?;
    match ended {
        Ended::Finished => {
            shown.finish();
            cx.console.answer(|| json!({ "finished": true }), String::new);
            Ok(())
        }
        Ended::Stopped => {
            drop(shown);
            Err(ReencryptError::Interrupted.into())
        }
    }
}

fn pace(cx: &Context<'_>, device: &Path) -> Result<Pace, CliError> {
    Ok(Pace {
        zone: cx.options.hotzone_size,
        block: Bytes::new(block(device, 512)?.into()),
    })
}

/// Recovers the zone in which it was interrupted, and no more.
pub(super) fn recover(cx: &Context<'_>, device: &Path, begun: &mut Begun) -> Result<(), CliError> {
    let pace = pace(cx, device)?;
    let mut zones = 0;
    let mut each = |_: Bytes, _: Bytes| {
        zones += 1;
        match zones {
            1 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    };
    let (keys, lock) = (&begun.keys, &begun.lock);
    cx.changing(|changing| {
        begun
            .volume
            .continue_reencryption(changing, &mut begun.data, (keys, lock), pace, &mut each)
    })?;
    Ok(())
}

/// Ends what has converted all data, as cryptsetup leaves it when it is interrupted then.
pub(super) fn end(cx: &Context<'_>, device: &Path, mut begun: Begun, found: &Reencryption) -> Result<(), CliError> {
    let question = format!(
        "The header says that all data on {} are plaintext now, and its key is gone. If it is wrong, they are lost.",
        shown(device)
    );
    let lacks_key = begun.keys.old.is_none() && found.params.mode == Mode::Decrypt;
    let plaintext = lacks_key && confirm(cx.console, &question);
    let (keys, lock) = (&begun.keys, &begun.lock);
    cx.changing(|changing| {
        begun
            .volume
            .finish_reencryption(changing, &mut begun.data, (keys, lock), plaintext)
    })?;
    cx.console.answer(|| json!({ "finished": true }), String::new);
    Ok(())
}
