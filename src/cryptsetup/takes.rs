//! Which action takes which option: the one table behind the refusals, the help, the manual pages and the completions.
//!
//! Found by running cryptsetup with each pair (`--test-args` of 2.8.8; `tests/golden/cryptsetup-options.txt` is its
//! answer). It refuses some options where they have no effect, and ignores others; a row says which. Under our own name
//! all of them are refused, since an option without effect is a misunderstanding.

use super::actions::Verb;
use super::actions::Verb::{
    AddKey, Benchmark, BitlkDump, Cat, ChangeKey, Close, Config, Convert, ConvertKey, Doctor, Dump, Erase, Format,
    Fvault2Dump, HeaderBackup, HeaderRestore, Image, IsLuks, KillSlot, Open, Reencrypt, RemoveKey, Repair, Resize,
    Resume, Status, Suspend, TcryptDump, Token, Unlock, Uuid, Write,
};

/// One row: an option, and the actions for which it has an effect.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    /// The option's long name, without dashes.
    pub option: &'static str,
    /// The actions; `None` for all of them.
    pub actions: Option<&'static [Verb]>,
    /// Further actions, which use the option here only: cryptsetup refuses it there.
    own: &'static [Verb],
    /// Actions with which cryptsetup takes the option, and which do not use it here.
    idle: &'static [Verb],
    /// Whether cryptsetup refuses the option with any other action; it ignores it otherwise.
    pub refused_elsewhere: bool,
}

impl Takes {
    /// Whether `verb` makes use of the option.
    pub fn with(&self, verb: Verb) -> bool {
        self.actions.is_none_or(|actions| actions.contains(&verb)) || self.own.contains(&verb)
    }

    /// Whether cryptsetup refuses the option with `verb`.
    pub fn refused_by_reference(&self, verb: Verb) -> bool {
        let known = self.actions.is_none_or(|actions| actions.contains(&verb)) || self.idle.contains(&verb);
        self.refused_elsewhere && !known
    }

    /// Every action that makes use of the option; `None` for all of them.
    pub fn users(&self) -> Option<impl Iterator<Item = Verb>> {
        let actions = self.actions?.iter().chain(self.own);
        Some(actions.copied())
    }

    const fn own(self, own: &'static [Verb]) -> Self {
        Self { own, ..self }
    }

    const fn idle(self, idle: &'static [Verb]) -> Self {
        Self { idle, ..self }
    }
}

/// The row of an option, by its long name; an option without a row is one that every action takes.
pub fn of(option: &str) -> Takes {
    TABLE.iter().find(|row| row.option == option).copied().unwrap_or(Takes {
        option: "",
        actions: None,
        own: &[],
        idle: &[],
        refused_elsewhere: false,
    })
}

/// The actions that write a header, and could destroy the old one; and the one that checks whether there is a backup.
const WRITERS: &[Verb] = &[
    Format,
    AddKey,
    RemoveKey,
    ChangeKey,
    ConvertKey,
    KillSlot,
    Erase,
    Convert,
    Config,
    Uuid,
    HeaderRestore,
    Repair,
    Token,
    Reencrypt,
    Doctor,
];
/// The actions that ask for a passphrase.
const ASKING: &[Verb] = &[
    Open,
    Cat,
    Write,
    Image,
    Resize,
    Resume,
    Format,
    AddKey,
    RemoveKey,
    ChangeKey,
    ConvertKey,
    KillSlot,
    Reencrypt,
    Dump,
    TcryptDump,
    BitlkDump,
    Fvault2Dump,
];
/// The actions that unlock by a token.
const BY_TOKEN: &[Verb] = &[Open, Cat, Write, Image, Resize, Resume, AddKey, Reencrypt];
/// The actions that create a keyslot.
const CREATING: &[Verb] = &[Reencrypt, Format, Image, AddKey, ChangeKey, ConvertKey];
/// The actions that read a header.
const READING: &[Verb] = &[
    Open,
    Cat,
    Write,
    Image,
    Resize,
    Status,
    Repair,
    Reencrypt,
    Erase,
    Convert,
    Config,
    Format,
    AddKey,
    RemoveKey,
    ChangeKey,
    ConvertKey,
    KillSlot,
    Uuid,
    IsLuks,
    Dump,
    TcryptDump,
    BitlkDump,
    Fvault2Dump,
    Suspend,
    Resume,
    HeaderBackup,
    HeaderRestore,
    Token,
    Close,
];
/// The actions that write a new volume.
const FORMATTING: &[Verb] = &[Reencrypt, Format, Image];
/// The actions that handle TrueCrypt's headers.
const TCRYPT: &[Verb] = &[Open, TcryptDump];

const fn only(option: &'static str, actions: &'static [Verb]) -> Takes {
    Takes {
        option,
        actions: Some(actions),
        own: &[],
        idle: &[],
        refused_elsewhere: true,
    }
}

const fn lax(option: &'static str, actions: &'static [Verb]) -> Takes {
    Takes {
        option,
        actions: Some(actions),
        own: &[],
        idle: &[],
        refused_elsewhere: false,
    }
}

/// All rows, in the order of the options.
pub const TABLE: &[Takes] = &[
    lax("active-name", &[Reencrypt]),
    only("align-payload", FORMATTING),
    only("allow-discards", &[Open, Cat, Write, Image]),
    only("cancel-deferred", &[Close]),
    lax("cipher", &[Open, Cat, Write, Benchmark, Reencrypt, Format, Image]),
    lax("decrypt", &[Reencrypt, Image]),
    only("deferred", &[Close]),
    only("device-size", &[Open, Resize, Reencrypt]),
    only("disable-blkid", FORMATTING),
    lax("disable-external-tokens", ASKING),
    lax("disable-keyring", &[Open, Resize, Resume, Reencrypt, Unlock]),
    lax("disable-locks", READING),
    lax("disable-sum", &[]),
    only("disable-veracrypt", TCRYPT),
    lax("dump-json-metadata", &[Dump]),
    lax("dump-volume-key", &[Dump, TcryptDump, BitlkDump, Fvault2Dump]),
    lax("encrypt", &[Reencrypt, Image]),
    only("external-tokens-path", &[]).idle(&[Open, Resize, AddKey, Dump, Resume, Token]),
    lax("force-password", &[Reencrypt, Format, Image, AddKey, ChangeKey]),
    only("force-offline-reencrypt", &[Reencrypt]),
    only("force-no-keyslots", &[Reencrypt]),
    lax(
        "hash",
        &[
            Open, Cat, Write, Benchmark, Reencrypt, Format, Image, AddKey, ChangeKey, ConvertKey, TcryptDump,
        ],
    ),
    lax("header", READING),
    lax("header-backup-file", &[HeaderBackup, HeaderRestore]),
    only("hotzone-size", &[Reencrypt]),
    only("hw-opal", &[Format]),
    only("hw-opal-factory-reset", &[Erase]),
    only("hw-opal-only", &[Format]),
    lax("init-only", &[Reencrypt]),
    only("integrity", &[Format, Image]),
    only("integrity-inline", &[Format, Image]),
    lax("integrity-key-size", FORMATTING),
    lax("integrity-legacy-padding", &[]),
    lax("integrity-no-journal", &[]),
    only("integrity-no-wipe", &[Format, Image]),
    only(
        "iter-time",
        &[Benchmark, Reencrypt, Format, Image, AddKey, ChangeKey, ConvertKey],
    ),
    only("iv-large-sectors", &[Open, Cat, Write]),
    lax("json-file", &[Token]),
    only("keep-key", &[Reencrypt]),
    only(
        "key-description",
        &[Token, Open, Resume, Resize, Format, AddKey, Dump, Reencrypt],
    )
    .own(&[Cat, Write, Image, RemoveKey, ChangeKey, ConvertKey]),
    lax("key-file", ASKING),
    only(
        "key-size",
        &[Open, Cat, Write, Benchmark, Reencrypt, Format, Image, AddKey],
    ),
    only(
        "key-slot",
        &[
            Open, Cat, Write, Image, Reencrypt, Config, Format, AddKey, ChangeKey, ConvertKey, Dump, Resume, Token,
        ],
    ),
    lax("keyfile-offset", ASKING),
    lax("keyfile-size", ASKING),
    only("keyslot-cipher", CREATING),
    only("keyslot-key-size", CREATING),
    only("label", &[Reencrypt, Config, Format, Image]),
    only("link-vk-to-keyring", &[Open, Resume]),
    only("luks2-keyslots-size", FORMATTING),
    only("luks2-metadata-size", FORMATTING),
    only("new-keyfile", &[AddKey]),
    lax("new-keyfile-offset", &[AddKey, ChangeKey]),
    lax("new-keyfile-size", &[AddKey, ChangeKey]),
    only("new-key-description", &[AddKey]).own(&[ChangeKey]),
    only("new-key-size", &[Reencrypt]),
    only("new-key-slot", &[AddKey]),
    only("new-token-id", &[AddKey]),
    only("new-volume-key-file", &[Reencrypt]),
    only("new-volume-key-keyring", &[Reencrypt]),
    only("offset", &[Open, Cat, Write, Reencrypt, Format, Image]),
    only(
        "pbkdf",
        &[Benchmark, Reencrypt, Format, Image, AddKey, ChangeKey, ConvertKey],
    ),
    only("pbkdf-force-iterations", CREATING),
    lax(
        "pbkdf-memory",
        &[Benchmark, Reencrypt, Format, Image, AddKey, ChangeKey, ConvertKey],
    ),
    lax(
        "pbkdf-parallel",
        &[Benchmark, Reencrypt, Format, Image, AddKey, ChangeKey, ConvertKey],
    ),
    lax("perf-high_priority", &[Open]),
    lax("perf-no_read_workqueue", &[Open]),
    lax("perf-no_write_workqueue", &[Open]),
    lax("perf-same_cpu_crypt", &[Open]),
    lax("perf-submit_from_crypt_cpus", &[Open]),
    only("persistent", &[Open]),
    only("priority", &[Config]),
    only("progress-json", &[Reencrypt, Image]).idle(&[Format]),
    lax("progress-frequency", &[Reencrypt, Image]),
    lax("readonly", &[Open]),
    lax("reduce-device-size", &[Reencrypt]),
    only("refresh", &[Open]),
    lax("resilience", &[Reencrypt]),
    lax("resilience-hash", &[Reencrypt]),
    lax("resume-only", &[Reencrypt]),
    only("sector-size", &[Open, Cat, Write, Reencrypt, Format, Image]),
    only("serialize-memory-hard-pbkdf", &[Open]),
    only("shared", &[Open]),
    only("size", &[Open, Cat, Write, Resize]),
    only("skip", &[Open, Cat, Write]),
    only("subsystem", &[Reencrypt, Config, Format, Image]),
    only("test-passphrase", &[Open, Unlock, Doctor]),
    lax("timeout", ASKING),
    lax(
        "token-id",
        &[Token, Open, Cat, Write, Image, Resize, Resume, AddKey, Reencrypt],
    ),
    lax("token-only", BY_TOKEN),
    only("token-replace", &[Token]),
    lax("token-type", BY_TOKEN),
    only("tcrypt-backup", TCRYPT),
    only("tcrypt-hidden", TCRYPT),
    only("tcrypt-system", TCRYPT),
    lax("tries", ASKING),
    lax("type", READING),
    only("unbound", &[Open, AddKey, Dump, Token]),
    only("use-random", FORMATTING),
    only("use-urandom", FORMATTING),
    only("uuid", &[Reencrypt, Format, Image, Uuid]),
    lax("veracrypt", TCRYPT),
    only("veracrypt-pim", TCRYPT),
    only("veracrypt-query-pim", TCRYPT),
    lax("verify-passphrase", ASKING),
    lax(
        "volume-key-file",
        &[Open, Cat, Write, Image, Resume, Format, AddKey, Reencrypt, Dump],
    ),
    lax(
        "volume-key-keyring",
        &[Open, Cat, Write, Resume, Format, AddKey, Reencrypt],
    ),
    lax("block-size", &[Reencrypt]),
    lax("new", &[Reencrypt]),
    lax("use-directio", &[Reencrypt]),
    lax("use-fsync", &[Reencrypt]),
    lax("write-log", &[Reencrypt]),
    only("backup", WRITERS),
    only(
        "slot-name",
        &[Format, Image, AddKey, ChangeKey, Config, KillSlot, RemoveKey, Erase],
    ),
    only("policy", &[Open, Resume, Cat, Write]),
    only("no-pbkdf-limits", ASKING),
    only("protect", &[Format, Image, AddKey, Config]),
    only("map", &[Dump]),
    only("length", &[Cat, Write]),
    only("data-offset", &[Cat, Write]),
    only("backend", &[Open]),
    only("resume", &[Image]),
    only("all", &[Close]),
    only("root", &[Doctor]),
    only("initramfs", &[Doctor]),
    only("crypttab", &[Unlock, Doctor]),
    only("kernel-arguments", &[Unlock, Doctor]),
    only("memory-budget", &[Unlock, Doctor]),
    only("device-timeout", &[Unlock]),
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cryptsetup::actions::{OUR_VERBS, VERBS};
    use crate::cryptsetup::args::Options;

    #[test]
    fn cryptsetup_takes_and_refuses_what_the_golden_file_says() {
        let answers = include_str!("../../tests/golden/cryptsetup-options.txt");
        let mut compared = 0;
        for line in answers.lines().filter(|line| !line.starts_with('#')) {
            let (option, actions) = line.split_once(':').expect("an option and its actions");
            let taking: Vec<&str> = actions.split_whitespace().collect();
            for info in VERBS.iter().filter(|info| !OUR_VERBS.contains(&info.verb)) {
                let refused = taking != ["*"] && !taking.contains(&info.name);
                assert_eq!(
                    of(option).refused_by_reference(info.verb),
                    refused,
                    "--{option} with {}",
                    info.name
                );
                compared += 1;
            }
        }
        assert!(compared > 2900, "{compared}");
    }

    #[test]
    fn every_row_is_an_option_and_stands_once() {
        let command = Options::command();
        for (n, row) in TABLE.iter().enumerate() {
            assert!(
                command.get_arguments().any(|arg| arg.get_long() == Some(row.option)),
                "{}",
                row.option
            );
            assert!(
                TABLE[..n].iter().all(|earlier| earlier.option != row.option),
                "{}",
                row.option
            );
        }
    }
}
