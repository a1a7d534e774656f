//! The events of an operation, in words.

use std::cell::RefCell;

use super::context::Context;
use super::tokens;
use crate::block_device::Holder;
use crate::console::Deriving;
use crate::crypt_device::{Event, Observer, Shortfall};
use crate::terminal_text::shown;

/// Shows the events of an operation.
#[derive(Debug)]
pub(super) struct Teller<'a> {
    cx: &'a Context<'a>,
    deriving: RefCell<Option<Deriving>>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(cx: &'a Context<'a>) -> Self {
        Self {
            cx,
            deriving: RefCell::default(),
        }
    }
}

impl Observer for Teller<'_> {
    fn notice(&self, event: Event<'_>) {
        let console = self.cx.console;
        match event {
            Event::Deriving => drop(self.deriving.replace(Some(console.deriving()))),
            Event::Derived => drop(self.deriving.take()),
            Event::BackedUp { file } => console.say(format_args!("Header backed up to {}.", file.display())),
            Event::OpenElsewhere { path, user } => console.complain(format_args!(
                "WARNING: {} has {} open, and can still write its LUKS1 header back as it was: look at the key slots when \
                 it has ended (luksDump).",
                user.map_or("perhaps another program".into(), Holder::to_string),
                shown(path)
            )),
            Event::WaitingFor { path, user } => console.complain(format_args!(
                "Waiting for {user}, which has {} open and can change its LUKS1 header.",
                shown(path)
            )),
            Event::PutBack { keyslot, over: false } => console.complain(format_args!(
                "Another program wrote the header back as it was before; key slot {keyslot} was added to it again."
            )),
            Event::NoUsableToken => match &self.cx.options.token_type {
                Some(kind) => console.verbose(format_args!("No usable token (type {kind}) is available.")),
                None => console.verbose("No usable token is available."),
            },
            Event::TokensRefused => {
                if let Some(token) = tokens::named(self.cx) {
                    console.verbose(format_args!(
                        "{token} cannot unlock assigned keyslot(s) (wrong keyslot passphrase)."
                    ));
                }
            }
            Event::PutBack { keyslot, over: true } => console.complain(format_args!(
                "WARNING: Another program added key slot {keyslot} at the same time. Its key material was overwritten: add \
                 its passphrase again."
            )),
            Event::TakenOut { keyslot } => console.complain(format_args!(
                "Another program wrote the header back as it was before; key slot {keyslot} was removed from it again."
            )),
            Event::RewritingHeader => console.verbose("Writing LUKS header to disk."),
            Event::Unlocked { keyslot } => console.verbose(format_args!("Key slot {keyslot} unlocked.")),
            Event::ChangeFinished { keyslot } => console.complain(format_args!(
                "Finished the interrupted passphrase change of key slot {keyslot}."
            )),
            Event::ChangeNotFinished { keyslot, error } => console.complain(format_args!(
                "Cannot finish the interrupted passphrase change of key slot {keyslot}: {error}."
            )),
            Event::ChangesInterrupted { keyslots } => self.cx.tell_unfinished(keyslots),
            Event::CheaperKeyslot {
                shortfall,
                iter_time_ms,
            } => console.complain(format_args!(
                "WARNING: The new keyslot {}.",
                shortfall_text(shortfall, iter_time_ms)
            )),
            Event::FewKeyslots { size } => console.say(format_args!(
                "WARNING: keyslots area ({} bytes) is very small, available LUKS2 keyslot count is very limited.",
                size.get()
            )),
            Event::KeyslotsAreaSize { size } => console.say(format_args!(
                "WARNING: LUKS2 keyslots area size changed to {} bytes.",
                size.get()
            )),
            Event::NoRoomForData { device } => console.say(format_args!(
                "Device {} is too small for activation, there is no remaining space for data.",
                device.display()
            )),
        }
    }
}

fn shortfall_text(shortfall: Shortfall, iter_time_ms: u32) -> String {
    match shortfall {
        Shortfall::Memory { kib, wanted } => format!(
            "uses {kib} KiB of memory, not the {wanted} KiB of --pbkdf-memory: with more it would take longer than \
             {iter_time_ms} ms"
        ),
        Shortfall::MachineMemory { kib, default } => {
            format!("uses {kib} KiB of memory, not the default of {default} KiB: this machine has no more to spare")
        }
        Shortfall::Lanes { lanes, wanted } => {
            format!("uses {lanes} threads, not the {wanted} of --pbkdf-parallel: this machine has no more processors")
        }
        Shortfall::Time => format!(
            "takes less time than {iter_time_ms} ms: its cost is the highest that is opened without --no-pbkdf-limits"
        ),
    }
}
