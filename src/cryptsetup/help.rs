//! Help and usage texts of the drop-in, laid out as in cryptsetup, from the one table of the options.
//!
//! Help under our own name is in [`super::tree`].

use std::fmt::Write as _;

use super::actions::{ALIASES, OUR_VERBS, VERBS, Verb};
use super::flags::defs::FLAGS;
use super::flags::{Flag, OURS};
use super::usage::UsageError;
use crate::console::Persona;
use crate::defaults;

/// The version of cryptsetup whose command line is implemented. Programs parse it.
pub const CRYPTSETUP_VERSION: &str = "2.8.0";

/// Column where descriptions start, and where lines end.
const DESCRIPTION: usize = 40;
const WIDTH: usize = 79;
/// Indentation of the usage text's further lines.
const USAGE_INDENT: usize = 8;
const USAGE_WIDTH: usize = 77;

/// The output of `--version`.
pub fn version(persona: Persona) -> String {
    match persona {
        Persona::Cryptsetup => format!("cryptsetup {CRYPTSETUP_VERSION} flags: UDEV BLKID KEYRING KERNEL_CAPI \n"),
        Persona::Luksmith => format!("luksmith {}\n", env!("CARGO_PKG_VERSION")),
    }
}

/// The text on standard error after an invalid command line.
pub fn refusal(persona: Persona, argv0: &str, error: &UsageError) -> String {
    match persona {
        Persona::Cryptsetup if error.is_prefixed() => format!("{}{argv0}: {error}\n", usage(argv0)),
        Persona::Cryptsetup => format!("{}{error}\n", usage(argv0)),
        Persona::Luksmith => {
            let remedy = error.remedy().map(|remedy| format!("{remedy}\n")).unwrap_or_default();
            format!("luksmith: {error}\n{remedy}")
        }
    }
}

/// The short list of options, in cryptsetup's order; our additional ones are in the help.
pub fn usage(argv0: &str) -> String {
    let name = argv0.rsplit('/').next().unwrap_or(argv0);
    let theirs = || FLAGS.iter().filter(|flag| !flag.ours);
    let switches = theirs().filter(|flag| flag.value.is_none());
    let switches: String = switches.filter_map(|flag| flag.short).collect();
    let listed = theirs().map(|flag| match flag.short {
        Some(short) => format!("[-{short}|--{}{}]", flag.long, value(flag)),
        None => format!("[--{}{}]", flag.long, value(flag)),
    });
    let older = aliases().map(|(alias, flag)| format!("[--{alias}{}]", value(flag)));
    let mut text = format!("Usage: {name} [-{switches}]");
    let mut column = text.len();
    for item in listed.chain(older) {
        if column + 1 + item.len() > USAGE_WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(USAGE_INDENT));
            column = USAGE_INDENT;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(&item);
        column += item.len();
    }
    let _ = writeln!(text, "\n{:USAGE_INDENT$}[OPTION...] <action> <action-specific>", "");
    text
}

/// The output of `--help`.
pub fn help() -> String {
    let mut text = version(Persona::Cryptsetup);
    text.push_str("Usage: cryptsetup [OPTION...] <action> <action-specific>\n\nHelp options:\n");
    for flag in FLAGS.iter().filter(|flag| !flag.ours) {
        entry(&mut text, flag);
    }
    for (alias, flag) in aliases() {
        let head = format!("      --{alias}{}", value(flag));
        described(&mut text, &head, &format!("Alias for --{}", flag.long));
    }
    let _ = write!(text, "\n{OURS}:\n");
    for flag in FLAGS.iter().filter(|flag| flag.ours) {
        entry(&mut text, flag);
    }
    text.push_str("\n<action> is one of:\n");
    for info in VERBS.iter().filter(|info| !OUR_VERBS.contains(&info.verb)) {
        let _ = writeln!(text, "\t{} {} - {}", info.name, info.arguments, info.summary);
    }
    text.push_str("\nYou can also use old <action> syntax aliases:\n");
    for verb in [Verb::Open, Verb::Close, Verb::Erase, Verb::KillSlot] {
        let names: Vec<_> = ALIASES
            .iter()
            .filter(|alias| alias.verb == verb)
            .map(|alias| alias.name)
            .collect();
        let _ = writeln!(text, "\t{}: {}", verb.name(), names.join(", "));
    }
    text.push_str(DEFAULTS);
    let _ = write!(
        text,
        "\tplain: {}, Key: {} bits, Password hashing: {}\n\tLUKS: {}, Key: {} bits, LUKS header hashing: {}, RNG: /dev/urandom\n",
        defaults::PLAIN_CIPHER,
        defaults::PLAIN_KEY_BITS,
        defaults::PLAIN_HASH,
        defaults::LUKS_CIPHER,
        defaults::LUKS_KEY_BITS,
        defaults::LUKS_HASH
    );
    text.push_str("\tLUKS: Default keysize with XTS mode (two internal keys) will be doubled.\n");
    text
}

/// The defaults. The labels are cryptsetup's, the values ours.
const DEFAULTS: &str = "
<name> is the device to create under /dev/mapper
<device> is the encrypted device
<key slot> is the LUKS key slot number to modify
<key file> optional key file for the new key for luksAddKey action

Default compiled-in metadata format is LUKS2 (for luksFormat action).

Default compiled-in key and passphrase parameters:
\tMaximum keyfile size: 8192kB, Maximum interactive passphrase length 512 (characters)
Default PBKDF for LUKS1: pbkdf2, iteration time: 2000 (ms)
Default PBKDF for LUKS2: argon2id
\tIteration time: 2000, Memory required: 1048576kB, Parallel threads: 4

Default compiled-in device cipher parameters:
";

/// `=STRING` for an option with a value.
fn value(flag: &Flag) -> String {
    flag.value.map(|name| format!("={name}")).unwrap_or_default()
}

/// The older names of options.
fn aliases() -> impl Iterator<Item = (&'static str, &'static Flag)> {
    FLAGS.iter().filter_map(|flag| Some((flag.alias?, flag)))
}

fn entry(text: &mut String, flag: &Flag) {
    let head = match flag.short {
        Some(short) => format!("  -{short}, --{}{}", flag.long, value(flag)),
        None => format!("      --{}{}", flag.long, value(flag)),
    };
    described(text, &head, &flag.list_help().replace('`', ""));
}

/// A line with its description in the second column, wrapped there.
fn described(text: &mut String, head: &str, description: &str) {
    text.push_str(head);
    let mut column = head.chars().count();
    if column >= DESCRIPTION {
        text.push('\n');
        column = 0;
    }
    let mut start = true;
    for word in description.split_whitespace() {
        if !start && column + 1 + word.chars().count() > WIDTH {
            text.push('\n');
            (column, start) = (0, true);
        }
        let gap = if start { DESCRIPTION - column } else { 1 };
        text.push_str(&" ".repeat(gap));
        text.push_str(word);
        column += gap + word.chars().count();
        start = false;
    }
    text.push('\n');
}
