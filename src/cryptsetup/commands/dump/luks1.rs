//! `luksDump` of a LUKS1 header, as cryptsetup prints it: programs parse these lines.

use std::fmt::Write as _;

use keyslots::luks1::{Header, KeyslotState, STRIPES};

use super::hex_lines;
use crate::terminal_text::clean;

/// The dump, all of it.
pub(super) fn text(header: &Header, device: &str) -> String {
    let mut out = format!("LUKS header information for {device}\n\n");
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<15}\t{value}").expect("a String takes all");
    line("Version:", "1");
    line("Cipher name:", &clean(header.cipher_name()));
    line("Cipher mode:", &clean(header.cipher_mode()));
    line("Hash spec:", &clean(header.hash_name()));
    line("Payload offset:", &header.payload_offset().get().to_string());
    line("MK bits:", &(header.key_size().get() * 8).to_string());
    line("MK digest:", &hex_lines(header.mk_digest(), ""));
    line("MK salt:", &hex_lines(header.mk_salt(), "\n               \t"));
    line("MK iterations:", &header.mk_iterations().to_string());
    line("UUID:", &clean(header.uuid()));
    out.push('\n');
    for (slot, keyslot) in header.keyslots().iter().enumerate() {
        let state = match keyslot.state {
            KeyslotState::Active => "ENABLED",
            KeyslotState::Inactive => "DISABLED",
            KeyslotState::Invalid(_) => "INVALID",
        };
        writeln!(out, "Key Slot {slot}: {state}").expect("a String takes all");
        if keyslot.state == KeyslotState::Active {
            let mut line =
                |name: &str, value: &str| writeln!(out, "\t{name:<20}\t{value}").expect("a String takes all");
            line("Iterations:", &keyslot.iterations.to_string());
            line("Salt:", &hex_lines(&keyslot.salt, "\n\t                      \t"));
            line("Key material offset:", &keyslot.material_offset.get().to_string());
            // cryptsetup pads this one further than the others.
            line("AF stripes:            ", &STRIPES.to_string());
        }
    }
    out
}
