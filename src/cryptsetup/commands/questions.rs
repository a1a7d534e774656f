//! The words of the questions that an operation asks.

use std::path::Path;

use keyslots::KeyslotId;
use keyslots::backup::{AtRisk, Restore};
use keyslots::header::Version;

use super::context::Context;
use crate::block_device::Signature;
use crate::console::confirm;
use crate::crypt_device::{Confirm, Question, Restoring};
use crate::cryptsetup::error::format_name;
use crate::passphrase;
use crate::terminal_text::shown;

impl Confirm for Context<'_> {
    fn confirm(&self, question: &Question<'_>) -> bool {
        let warning = match question {
            Question::Convert { device, to, loses } => {
                let mut warning = format!(
                    "This operation will convert {} to {} format.\n",
                    shown(device),
                    format_name(*to)
                );
                if *loses {
                    warning
                        .push_str("Label, subsystem, priorities and flags have no place in LUKS1 and will be lost.\n");
                }
                warning
            }
            Question::Restore(restoring) => {
                let notes = revival(restoring.plan) + what_a_stop_costs(restoring.at_risk);
                if !self.console.batch() && !passphrase::is_interactive() && !notes.is_empty() {
                    self.console.complain(notes.trim_start());
                }
                restoration(restoring) + &notes
            }
            Question::Overwrite {
                device,
                found,
                protected,
            } => {
                if self.console.batch() {
                    for_each_kind(found, |signature| {
                        let device = shown(device);
                        self.console
                            .debug(format_args!("Device {device} already contains a {signature}."));
                    });
                } else {
                    warn_of(self, device, found);
                }
                for name in *protected {
                    self.console.say(format_args!(
                        "WARNING: Keyslot {} ({:?}) on {} is protected from being removed.",
                        name.slot,
                        name.name,
                        shown(device)
                    ));
                }
                format!("This will overwrite data on {} irrevocably.", shown(device))
            }
            Question::OpenPlain { device, found } => {
                warn_of(self, device, found);
                format!(
                    "Detected device signature(s) on {}. Proceeding further may damage existing data.",
                    shown(device)
                )
            }
            Question::CreateHeaderFile(path) => {
                format!("Header file {} does not exist, do you want to create it?", shown(path))
            }
            Question::RemoveLastKeyslot => {
                "This is the last keyslot. Device will become unusable after purging this key.".to_owned()
            }
            Question::RemoveNeededKeyslot => {
                "This is the last keyslot for one of both keys of a volume in reencryption. Device will become unusable \
                 after purging this key."
                    .to_owned()
            }
            Question::EraseInReencryption(device) => format!(
                "Device {} is in reencryption.\nThis operation will erase all keyslots on it. Device will become unusable \
                 after this operation.",
                shown(device)
            ),
            Question::EraseKeyslots(device) => format!(
                "This operation will erase all keyslots on device {}.\nDevice will become unusable after this operation.",
                shown(device)
            ),
            Question::Repair => "Really try to repair LUKS device header?".to_owned(),
            Question::ChangeUuid => "Do you really want to change UUID of device?".to_owned(),
        };
        // No --batch-mode and no script means this.
        let needs_force = match question {
            Question::RemoveNeededKeyslot | Question::EraseInReencryption(_) => true,
            Question::Restore(restoring) => restoring.plan.loses_reencryption || restoring.plan.revives_reencryption,
            _ => false,
        };
        if needs_force && (self.console.batch() || !passphrase::is_interactive()) {
            return self.options.force_no_keyslots;
        }
        confirm(self.console, &warning)
    }
}

/// Lists the signatures of a device.
fn warn_of(cx: &Context<'_>, path: &Path, found: &[Signature]) {
    for_each_kind(found, |signature| {
        cx.console.say(format_args!(
            "WARNING: Device {} already contains a {signature}.",
            shown(path)
        ));
    });
}

/// A signature with copies is reported once.
fn for_each_kind(found: &[Signature], mut tell: impl FnMut(&Signature)) {
    for (n, signature) in found.iter().enumerate() {
        if found[..n].iter().all(|earlier| earlier.name != signature.name) {
            tell(signature);
        }
    }
}

fn restoration(restoring: &Restoring<'_>) -> String {
    let kind = match restoring.version {
        Version::Luks1 => "LUKS",
        Version::Luks2 => "LUKS2",
    };
    let device = shown(restoring.device);
    if !restoring.plan.replaces {
        return format!(
            "Device {device} does not contain {kind} header. Replacing header can destroy data on that device."
        );
    }
    let mut text =
        format!("Device {device} already contains {kind} header. Replacing header will destroy existing keyslots.");
    if restoring.plan.loses_reencryption {
        text.push_str(
            "\nWARNING: the device is in reencryption. The backup does not know how far: the data will be lost.",
        );
    }
    if restoring.plan.revives_reencryption {
        text.push_str(
            "\nWARNING: the backup was made during a reencryption that is not in progress on the device. Continuing that \
             reencryption would destroy the data.",
        );
    }
    if !restoring.plan.same_uuid {
        text.push_str("\nWARNING: real device header has different UUID than backup!");
    }
    text
}

fn revival(plan: &Restore) -> String {
    if !plan.replaces || plan.revives.is_empty() {
        return String::new();
    }
    let slots: Vec<String> = plan.revives.iter().map(KeyslotId::to_string).collect();
    format!(
        "\nWARNING: keyslots that the device does not have as they are in the backup come back ({}): passphrases that \
         were removed or changed since will open the device again.",
        slots.join(", ")
    )
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
