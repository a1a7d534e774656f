//! Every option of cryptsetup and ours, one entry each, in the order of cryptsetup's usage text.
//!
//! An entry starts with the description that a list of all options shows, and so does each action without one of its
//! own. Then come the field and how its value is read, the names, which actions take the option, what it means for some
//! of them, and what it cannot be combined with.
//!
//! Which action takes which option, and in which words and order combinations are refused, was found by running
//! cryptsetup (`--test-args` of 2.8.8; `tests/golden/cryptsetup-options.txt` is its answer).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgAction;
use keyslots::units::{Bytes, Sectors};

use super::rule::Rule;
use super::{Flag, For, Set, flag};
use crate::cryptsetup::actions::DeviceType::{LoopAes, Luks, Luks1, Luks2, Plain, Tcrypt};
use crate::cryptsetup::actions::Verb::{
    self, AddKey, Benchmark, BitlkDump, Cat, ChangeKey, Check, Close, Config, Convert, ConvertKey, Doctor, Dump, Erase,
    Format, Fvault2Dump, HeaderBackup, HeaderRestore, Image, IsLuks, KillSlot, Open, Reencrypt, RemoveKey, Repair,
    Resize, Resume, TcryptDump, Token, Unlock, Uuid, Write,
};
use crate::cryptsetup::values::{
    Backend, KeySize, PbkdfKind, Priority, SectorSize, SlotRef, bytes, device_size, hotzone_size, lower_case, percent,
    reduce_size, sectors, short_bytes, short_sectors, size, small, text, token_id, unsigned,
};

/// The actions that write a header, and could destroy the old one.
#[rustfmt::skip]
const WRITERS: &[Verb] = &[
    Format, AddKey, RemoveKey, ChangeKey, ConvertKey, KillSlot, Erase, Convert, Config, Uuid, HeaderRestore, Repair,
    Token, Reencrypt,
];
/// The actions that ask for a passphrase.
#[rustfmt::skip]
const ASKING: &[Verb] = &[
    Open, Cat, Write, Image, Resize, Resume, Format, AddKey, RemoveKey, ChangeKey, ConvertKey, KillSlot, Reencrypt,
    Repair, Dump, TcryptDump, BitlkDump, Fvault2Dump,
];
/// The actions that unlock by a token.
const BY_TOKEN: &[Verb] = &[Open, Cat, Write, Image, Resize, Resume, AddKey, Reencrypt];
/// The actions that create a keyslot.
const CREATING: &[Verb] = &[Reencrypt, Format, Image, AddKey, ChangeKey, ConvertKey];
/// The actions that read a header.
#[rustfmt::skip]
const READING: &[Verb] = &[
    Open, Cat, Write, Image, Resize, Repair, Reencrypt, Erase, Convert, Config, Format, AddKey, RemoveKey, ChangeKey,
    ConvertKey, KillSlot, Uuid, IsLuks, Dump, TcryptDump, BitlkDump, Fvault2Dump, Resume, HeaderBackup, HeaderRestore,
    Token,
];
/// The actions that are for one type of volume if it is named. Those without it take any header, or LUKS2 ones only, or know
/// the type from the mapping.
#[rustfmt::skip]
const TYPED: &[Verb] = &[
    Open, Cat, Write, Image, Resume, Repair, Reencrypt, Erase, Convert, Format, AddKey, RemoveKey, ChangeKey, KillSlot,
    Uuid, IsLuks, Dump,
];
/// The actions that a wrong passphrase does not end.
#[rustfmt::skip]
const RETRYING: &[Verb] = &[
    Open, Cat, Write, Image, Resize, Resume, AddKey, RemoveKey, ChangeKey, ConvertKey, KillSlot, Reencrypt, Dump,
];
/// The actions that write a new volume.
const FORMATTING: &[Verb] = &[Reencrypt, Format, Image];
/// The actions on the data of a volume without a mapping.
const PLAINTEXT: &[Verb] = &[Cat, Write];
/// The actions that handle TrueCrypt's headers.
const TCRYPT: &[Verb] = &[Open, TcryptDump];

const FOR_PLAIN: &str = "Options that say how a volume is encrypted are for plain volumes: --type plain.";
const SLOT_NEEDED: &str = "Keyslot specification is required.";
const KEYSLOT_CIPHER: &str = "Options --keyslot-cipher and --keyslot-key-size must be used together.";

const PLAIN_ONLY: Rule = Rule(13, |c| c.is_unmapped() && !c.is_plain(), FOR_PLAIN);
const TCRYPT_ONLY: Rule = Rule(
    16,
    |c| c.opens_other_than(&[Tcrypt]),
    "Option --tcrypt-hidden, --tcrypt-system or --tcrypt-backup is supported only for TCRYPT device.",
);
const VERACRYPT_ONLY: Rule = Rule(
    17,
    |c| c.opens_other_than(&[Tcrypt]),
    "Option --veracrypt or --disable-veracrypt is supported only for TCRYPT device type.",
);
const NOT_FOR_LUKS: Rule = Rule(Rule::OWN, |c| c.maps_luks(), FOR_PLAIN);
const NEEDS_HEADER: Rule = Rule(
    Rule::OWN + 1,
    |c| c.is_plain(),
    "A plain volume has no header, and so no keyslots, tokens or stored flags: leave their options out.",
);
const NOT_FOR_LUKS1: Rule = Rule(
    Rule::OWN + 2,
    |c| c.makes_luks1(),
    "LUKS1 has no label and no subsystem: leave the option out, or use --type luks2.",
);
const ARGON2_ONLY: Rule = Rule(
    Rule::OWN + 3,
    |c| c.makes_luks1() || c.options.pbkdf == Some(PbkdfKind::Pbkdf2),
    "PBKDF2 has no memory cost and no threads: leave --pbkdf-memory and --pbkdf-parallel out.",
);

/// The type of a field.
macro_rules! field {
    (switch) => { bool };
    (value $type:ty) => { Option<$type> };
    (values $type:ty) => { Vec<$type> };
    (path) => { Option<PathBuf> };
    (paths) => { Vec<PathBuf> };
}

/// How a field is set.
macro_rules! set {
    (switch $field:ident) => {
        Set::Switch(|options| options.$field = true)
    };
    (value $field:ident $read:expr) => {
        Set::Text(|options, text| {
            options.$field = Some($read(text)?);
            Ok(())
        })
    };
    (values $field:ident $read:expr) => {
        Set::Text(|options, text| {
            options.$field.push($read(text)?);
            Ok(())
        })
    };
    (path $field:ident) => {
        Set::Path(|options, path| options.$field = Some(path))
    };
    (paths $field:ident) => {
        Set::Path(|options, path| options.$field.push(path))
    };
}

macro_rules! flags {
    ($($(#[doc = $help:literal])+ $field:ident: $form:ident $(($type:ty, $read:expr))? = $flag:expr;)+) => {
        /// What was typed. See [`crate::cryptsetup::request::Invocation`] for what it means.
        #[derive(Clone, Debug, Default)]
        pub struct Options {
            $($(#[doc = $help])+ pub $field: field!($form $($type)?),)+
            /// The action and its arguments.
            pub arguments: Vec<OsString>,
        }

        /// All entries.
        pub static FLAGS: &[Flag] = &[
            $(Flag { help: concat!($($help),+), set: set!($form $field $($read)?), ..$flag }),+
        ];
    };
}

flags! {
    /// Show the options, and what happens by default.
    help: switch = flag("help").short('?').action(ArgAction::Help);
    /// Show the options in short.
    usage: switch = flag("usage");
    /// Show the version.
    version: switch = flag("version").short('V').action(ArgAction::Version);
    /// The mapping that the device is active under, instead of finding it.
    active_name: value(String, text) = flag("active-name").value("STRING").only_with("reencrypt").lax(&[Reencrypt]);
    /// Align the data to a multiple of this many 512-byte sectors; with `--header`, the data starts there. 0 is the
    /// default. Deprecated: `--offset` says exactly where the data starts.
    align_payload: value(Sectors, short_sectors) = flag("align-payload").value("SECTORS").only(FORMATTING)
        .rules(&[
            Rule(30, |c| c.options.offset.is_some(), "Options --align-payload and --offset cannot be combined."),
        ]);
    /// Pass discards (TRIM) down to the device. They show which blocks are in use.
    allow_discards: switch = flag("allow-discards").only(&[Open, Cat, Write, Image])
        .senses(&[
            For::Help(&[Image], "Leave sectors of zeros as holes. They show which blocks are in use."),
            For::Help(&[Cat, Write], "Read holes, which discards leave behind, as zeros."),
        ]);
    /// Ask no confirmation, and do not ask twice for a new passphrase.
    batch_mode: switch = flag("batch-mode").short('q');
    /// Cancel a deferred removal.
    cancel_deferred: switch = flag("cancel-deferred").only(&[Close]);
    /// Cipher of the data, such as `aes-xts-plain64`. For plain devices always name cipher, key size and hash:
    /// cryptsetup has had two sets of defaults, aes-xts-plain64 with 256 bits and sha256 since 2.7,
    /// aes-cbc-essiv:sha256 with 256 bits and ripemd160 before.
    cipher: value(String, text) = flag("cipher").short('c').value("STRING")
        .lax(&[Open, Cat, Write, Benchmark, Reencrypt, Format, Image])
        .senses(&[
            For::Help(FORMATTING, "Cipher of the data, such as `aes-xts-plain64`."),
            For::Help(&[Benchmark], "Cipher to measure, such as `aes-xts`."),
        ])
        .rules(&[PLAIN_ONLY, NOT_FOR_LUKS]);
    /// Say what is being done, in lines that start with `#`.
    debug: switch = flag("debug");
    /// As `--debug`, with the LUKS2 metadata.
    debug_json: switch = flag("debug-json");
    /// Remove the encryption.
    decrypt: switch = flag("decrypt").only_with("reencrypt").lax(&[Reencrypt, Image])
        .senses(&[
            For::Help(&[Image], "Decrypt: the source holds a LUKS volume, and the target becomes a plain image."),
        ]);
    /// Let the kernel remove the mapping once its last user closes it.
    deferred: switch = flag("deferred").only(&[Close])
        .rules(&[
            Rule(21, |c| c.options.cancel_deferred,
                "Options --cancel-deferred and --deferred cannot be used at the same time."),
        ]);
    /// Use only this much of the device, in bytes or with a unit (`k`, `M`, `G`, `T`, `s` for sectors).
    device_size: value(Bytes, device_size) = flag("device-size").value("bytes").only(&[Open, Resize, Reencrypt]);
    /// Do not look for other signatures on the device, and wipe none.
    disable_blkid: switch = flag("disable-blkid").only(FORMATTING);
    /// Do not call the token handlers of other programs. None are called: without effect.
    disable_external_tokens: switch = flag("disable-external-tokens").lax(ASKING);
    /// Keep the volume key out of the kernel keyring: hand it to device-mapper itself.
    disable_keyring: switch = flag("disable-keyring").lax(&[Open, Resize, Resume, Reencrypt, Unlock])
        .rules(&[
            Rule(25, |c| c.options.key_description.is_some() || c.options.new_key_description.is_some(),
                "Cannot use keyring key description when keyring is disabled."),
            Rule(26, |c| !c.options.link_vk_to_keyring.is_empty(),
                "Cannot link volume key to a keyring when keyring is disabled."),
        ]);
    /// Take no locks on the metadata. Only where no other program can access the header.
    disable_locks: switch = flag("disable-locks").lax(READING).rules(&[NEEDS_HEADER]);
    /// With OPAL: do not use the drive's single user mode. Without OPAL, without effect.
    disable_sum: switch = flag("disable-sum").lax(&[]);
    /// Look for TrueCrypt headers only, not for VeraCrypt's.
    disable_veracrypt: switch = flag("disable-veracrypt").refused().only(TCRYPT).rules(&[VERACRYPT_ONLY]);
    /// Print the LUKS2 metadata as it stands in the header.
    dump_json_metadata: switch = flag("dump-json-metadata").lax(&[Dump]);
    /// Print the volume key, which opens the volume without a passphrase for ever.
    dump_volume_key: switch = flag("dump-volume-key").alias("dump-master-key")
        .lax(&[Dump, TcryptDump, BitlkDump, Fvault2Dump]);
    /// Encrypt a device in place.
    encrypt: switch = flag("encrypt").only_with("reencrypt").lax(&[Reencrypt, Image])
        .senses(&[
            For::Help(&[Image], "Encrypt, which is the default, even a source that holds a LUKS volume already."),
        ]);
    /// Folder that holds the token handlers of other programs. None are called: without effect.
    external_tokens_path: path = flag("external-tokens-path").value("STRING")
        .only(&[]).idle(&[Open, Resize, AddKey, Dump, Resume, Token]);
    /// Accept a weak new passphrase.
    force_password: switch = flag("force-password").lax(&[Reencrypt, Format, Image, AddKey, ChangeKey]);
    /// Reencrypt as if the device were not active, without looking.
    force_offline_reencrypt: switch = flag("force-offline-reencrypt").only(&[Reencrypt])
        .rules(&[
            Rule(41, |c| c.options.active_name.is_some(),
                "Options --active-name and --force-offline-reencrypt cannot be combined."),
        ]);
    /// Go on although no keyslot will hold the new volume key.
    force_no_keyslots: switch = flag("force-no-keyslots").only_with("reencrypt").only(&[Reencrypt])
        .own(&[KillSlot, RemoveKey, Erase, HeaderRestore])
        .senses(&[
            For::Help(&[KillSlot, RemoveKey, Erase, HeaderRestore],
                "Destroy what a reencryption that has begun needs, and with it the data."),
        ]);
    /// Hash: of PBKDF2, the volume key digest and the anti-forensic split, or of a plain device's passphrase.
    hash: value(String, text) = flag("hash").short('h').value("STRING")
        .lax(&[Open, Cat, Write, Benchmark, Reencrypt, Format, Image, AddKey, ChangeKey, ConvertKey, TcryptDump])
        .senses(&[
            For::Help(&[Open, Cat, Write], "Hash of the passphrase of a plain volume."),
            For::Help(&[Benchmark], "Hash to measure PBKDF2 with."),
            For::Help(FORMATTING, "Hash of PBKDF2, the volume key digest and the anti-forensic split."),
            For::Help(CREATING, "Hash of PBKDF2 and the anti-forensic split."),
        ])
        .rules(&[PLAIN_ONLY, NOT_FOR_LUKS]);
    /// Device or file that holds the LUKS header, apart from the data.
    header: path = flag("header").value("STRING").lax(READING).rules(&[NEEDS_HEADER]);
    /// File that the header backup is written to or restored from.
    header_backup_file: path = flag("header-backup-file").value("STRING").lax(&[HeaderBackup, HeaderRestore]);
    /// Most data to move in one step.
    hotzone_size: value(Bytes, hotzone_size) = flag("hotzone-size").value("bytes").only_with("reencrypt")
        .only(&[Reencrypt]);
    /// Encrypt with the drive's own OPAL encryption as well as in software. Refused: this program does not do it.
    hw_opal: switch = flag("hw-opal").refused().only(&[Format]);
    /// Reset an OPAL drive, erasing all that it holds. Refused: this program does not do it.
    hw_opal_factory_reset: switch = flag("hw-opal-factory-reset").refused().only(&[Erase]);
    /// Encrypt with the drive's own OPAL encryption alone. Refused: this program does not do it.
    hw_opal_only: switch = flag("hw-opal-only").refused().only(&[Format]);
    /// Only write the metadata that starts it.
    init_only: switch = flag("init-only").only_with("reencrypt").lax(&[Reencrypt]);
    /// Algorithm that protects the integrity of each sector, such as `hmac-sha256`. Refused: this program does not do
    /// it.
    integrity: value(String, text) = flag("integrity").short('I').value("STRING").refused().only(&[Format, Image]);
    /// Keep the integrity tags in the hardware's own sector metadata. Refused: this program does not do it.
    integrity_inline: switch = flag("integrity-inline").refused().only(&[Format, Image])
        .rules(&[
            Rule(29, |c| c.options.integrity.is_none(),
                "Inline integrity must be used together with --integrity option."),
        ]);
    /// Length of the integrity key, in bits. Refused: this program does not do it.
    integrity_key_size: value(KeySize, str::parse) = flag("integrity-key-size").value("BITS").refused()
        .lax(FORMATTING)
        .rules(&[
            Rule(Rule::OWN + 4, |c| c.options.integrity.is_none(), "Option --integrity-key-size needs --integrity."),
        ]);
    /// Lay integrity tags out as old kernels did. Without integrity, without effect.
    integrity_legacy_padding: switch = flag("integrity-legacy-padding").lax(&[]);
    /// Do without the integrity journal: faster, and unsafe at a power cut. Without integrity, without effect.
    integrity_no_journal: switch = flag("integrity-no-journal").lax(&[]);
    /// Do not initialise the integrity tags after formatting.
    integrity_no_wipe: switch = flag("integrity-no-wipe").refused().only(&[Format, Image])
        .rules(&[
            Rule(32, |c| c.options.integrity.is_none() && c.verb == Format,
                "Option --integrity-no-wipe can be used only for format action with integrity extension."),
        ]);
    /// Target unlocking time, in milliseconds. 0 is the default.
    iter_time: value(u32, unsigned) = flag("iter-time").short('i').value("msecs").only(CREATING).and(&[Benchmark]);
    /// Count initialisation vectors in encryption sectors instead of 512-byte ones.
    iv_large_sectors: switch = flag("iv-large-sectors").only(&[Open, Cat, Write])
        .rules(&[
            Rule(12, |c| c.opens_other_than(&[Plain]) || c.options.sector_size.is_none_or(|size| size.get() <= 512),
                "Large IV sectors option is supported only for opening plain type device with sector size larger than \
                 512 bytes."),
            PLAIN_ONLY,
        ]);
    /// File that a token is read from or written to; `-` is standard input or output.
    json_file: path = flag("json-file").value("STRING").lax(&[Token]);
    /// Keep the volume key.
    keep_key: switch = flag("keep-key").only_with("reencrypt").only(&[Reencrypt]);
    /// Description of a key in the kernel keyring.
    key_description: value(String, text) = flag("key-description").value("STRING")
        .only(&[Token, Open, Resume, Resize, Format, AddKey, Dump, Reencrypt])
        .own(&[Cat, Write, Image, RemoveKey, ChangeKey, ConvertKey])
        .senses(&[
            For::Help(&[Token], "Description of the key in the kernel keyring that holds the passphrase."),
            For::Help(ASKING, "Take the passphrase from the key of this description in the kernel keyring."),
        ]);
    /// Read the passphrase from this file, byte for byte; `-` is standard input to its end.
    key_file: paths = flag("key-file").short('d').value("STRING").action(ArgAction::Append).lax(ASKING)
        .rules(&[
            Rule(2, |c| c.options.key_file.len() > 1 && c.verb != TcryptDump
                    && (c.verb != Open || c.opens_other_than(&[Tcrypt])),
                "Only one --key-file argument is allowed."),
        ]);
    /// Length of the volume key, in bits. 0 is the default.
    key_size: value(KeySize, str::parse) = flag("key-size").short('s').value("BITS")
        .only(&[Open, Cat, Write, Benchmark, Reencrypt, Format, Image, AddKey])
        .senses(&[
            For::Help(&[Open, Cat, Write], "Length of the key of a plain volume, in bits. 0 is the default."),
            For::Help(&[Benchmark], "Length of the key to measure with, in bits."),
            For::Help(&[AddKey], "Length of the key of an unbound keyslot, in bits."),
        ])
        .rules(&[PLAIN_ONLY, Rule(Rule::OWN, |c| c.maps_luks() && c.options.volume_key_file.is_none(), FOR_PLAIN)]);
    /// Keyslot: its number, or its name.
    key_slot: value(SlotRef, str::parse) = flag("key-slot").short('S').value("INT")
        .only(&[Open, Cat, Write, Image, Reencrypt, Config, Format, AddKey, ChangeKey, ConvertKey, Dump, Resume, Token])
        .senses(&[
            For::Help(&[Format], "Keyslot for the passphrase. Default: the first one."),
            For::Help(&[Image], "Keyslot for the passphrase; with `--decrypt`, the keyslot to unlock the volume with."),
            For::Help(&[AddKey],
                "Keyslot for the new passphrase. With `--new-key-slot`: the keyslot to unlock the volume with."),
        ])
        .rules(&[NEEDS_HEADER]);
    /// Skip this many bytes of the key file.
    keyfile_offset: value(Bytes, bytes) = flag("keyfile-offset").value("bytes").lax(ASKING);
    /// Read exactly this many bytes of the key file.
    keyfile_size: value(Bytes, short_bytes) = flag("keyfile-size").short('l').value("bytes").lax(ASKING);
    /// Cipher that encrypts the keyslot, where it is not the data's.
    keyslot_cipher: value(String, text) = flag("keyslot-cipher").value("STRING").only(CREATING)
        .rules(&[Rule(33, |c| c.options.keyslot_key_size.is_none(), KEYSLOT_CIPHER)]);
    /// Key length of `--keyslot-cipher`, in bits.
    keyslot_key_size: value(KeySize, str::parse) = flag("keyslot-key-size").value("BITS").only(CREATING)
        .rules(&[Rule(33, |c| c.options.keyslot_cipher.is_none(), KEYSLOT_CIPHER)]);
    /// Label of the LUKS2 volume.
    label: value(String, text) = flag("label").value("STRING").only(&[Reencrypt, Config, Format, Image])
        .rules(&[NOT_FOR_LUKS1]);
    /// Link the volume key into this kernel keyring: `<keyring>::<key description>`.
    link_vk_to_keyring: values(String, text) = flag("link-vk-to-keyring").value("STRING")
        .action(ArgAction::Append).only(&[Open, Resume])
        .rules(&[
            Rule(1, |c| c.options.link_vk_to_keyring.len() > 2,
                "At most 2 keyring link specifications can be supplied."),
        ]);
    /// Size of the LUKS2 keyslots area: a multiple of 4 KiB, at most 128 MiB.
    luks2_keyslots_size: value(Bytes, size) = flag("luks2-keyslots-size").value("bytes").only(FORMATTING);
    /// Size of one LUKS2 metadata copy: 16, 32, 64, … 4096 KiB.
    luks2_metadata_size: value(Bytes, size) = flag("luks2-metadata-size").value("bytes").only(FORMATTING);
    /// Read the new passphrase from this file.
    new_keyfile: path = flag("new-keyfile").value("STRING").only(&[AddKey]);
    /// Skip this many bytes of the new key file.
    new_keyfile_offset: value(Bytes, bytes) = flag("new-keyfile-offset").value("bytes").lax(&[AddKey, ChangeKey]);
    /// Read exactly this many bytes of the new key file.
    new_keyfile_size: value(Bytes, short_bytes) = flag("new-keyfile-size").value("bytes").lax(&[AddKey, ChangeKey]);
    /// Description of the kernel keyring key that is the new passphrase.
    new_key_description: value(String, text) = flag("new-key-description").value("STRING")
        .only(&[AddKey]).own(&[ChangeKey]);
    /// Length of the new volume key, in bits.
    new_key_size: value(KeySize, str::parse) = flag("new-key-size").value("BITS").only_with("reencrypt")
        .only(&[Reencrypt]);
    /// Keyslot for the new passphrase. Default: the first free one.
    new_key_slot: value(SlotRef, str::parse) = flag("new-key-slot").value("INT").only(&[AddKey]);
    /// Take the new passphrase from the key of this token, and assign the new keyslot to it. A new key file takes
    /// precedence.
    new_token_id: value(u32, small) = flag("new-token-id").value("INT").only(&[AddKey]);
    /// File that holds the new volume key.
    new_volume_key_file: path = flag("new-volume-key-file").value("STRING").only_with("reencrypt")
        .only(&[Reencrypt]);
    /// Kernel keyring key that is the new volume key.
    new_volume_key_keyring: value(String, text) = flag("new-volume-key-keyring").value("STRING").only_with("reencrypt")
        .only(&[Reencrypt]);
    /// Where the data starts on the device, in 512-byte sectors. With `luksFormat`, 0 is the default place. With `cat`
    /// and `write`: how many bytes of the decrypted data to pass over.
    offset: value(Sectors, sectors) = flag("offset").short('o').value("SECTORS")
        .only(&[Open, Cat, Write, Reencrypt, Format, Image])
        .senses(&[
            For::Help(&[Open], "Where the data of a plain volume starts on the device, in 512-byte sectors."),
            For::Help(FORMATTING, "Where the data starts on the device, in 512-byte sectors. 0 is the default place."),
            For::Help(PLAINTEXT, "Skip this many bytes of the decrypted data."),
            For::Value(PLAINTEXT, "bytes"),
        ])
        .rules(&[
            Rule(9, |c| c.maps_other_than(&[Plain, LoopAes]),
                "Option --offset with open action is only supported for plain and loopaes devices."),
        ]);
    /// Key derivation function of the keyslot: `argon2id`, `argon2i` or `pbkdf2`.
    pbkdf: value(PbkdfKind, str::parse) = flag("pbkdf").value("STRING").only(CREATING).and(&[Benchmark])
        .senses(&[
            For::Help(&[Benchmark], "Key derivation function to measure: `argon2id`, `argon2i` or `pbkdf2`."),
        ]);
    /// Iterations (time cost) as given, without measuring.
    pbkdf_force_iterations: value(u32, unsigned) = flag("pbkdf-force-iterations").value("LONG").only(CREATING)
        .rules(&[
            Rule(34, |c| c.options.iter_time.is_some(),
                "PBKDF forced iterations cannot be combined with iteration time option."),
        ]);
    /// Most memory for Argon2, in KiB.
    pbkdf_memory: value(u32, unsigned) = flag("pbkdf-memory").value("kilobytes").lax(CREATING).and(&[Benchmark])
        .rules(&[ARGON2_ONLY]);
    /// Most threads for Argon2.
    pbkdf_parallel: value(u32, unsigned) = flag("pbkdf-parallel").value("threads").lax(CREATING).and(&[Benchmark])
        .rules(&[ARGON2_ONLY]);
    /// Run the encryption work queues at high priority.
    perf_high_priority: switch = flag("perf-high_priority").lax(&[Open]);
    /// Decrypt at once, not in a work queue.
    perf_no_read_workqueue: switch = flag("perf-no_read_workqueue").lax(&[Open]);
    /// Encrypt at once, not in a work queue.
    perf_no_write_workqueue: switch = flag("perf-no_write_workqueue").lax(&[Open]);
    /// Encrypt on the processor that the request came from.
    perf_same_cpu_crypt: switch = flag("perf-same_cpu_crypt").lax(&[Open]);
    /// Submit writes from the threads that encrypted them.
    perf_submit_from_crypt_cpus: switch = flag("perf-submit_from_crypt_cpus").lax(&[Open]);
    /// Keep the flags given here in the LUKS2 header, for later activations.
    persistent: switch = flag("persistent").only(&[Open])
        .rules(&[
            Rule(5, |c| c.options.test_passphrase, "Option --persistent is not allowed with --test-passphrase."),
            NEEDS_HEADER,
        ]);
    /// How eagerly the keyslot is tried: `ignore`, `normal` or `prefer`.
    priority: value(Priority, str::parse) = flag("priority").value("STRING").only(&[Config])
        .rules(&[Rule(37, |c| c.options.key_slot.is_none(), SLOT_NEEDED)]);
    /// Show progress as lines of JSON.
    progress_json: switch = flag("progress-json").only(&[Reencrypt, Image]).idle(&[Format]);
    /// Show progress as a line every so many seconds.
    progress_frequency: value(u32, unsigned) = flag("progress-frequency").value("secs").lax(&[Reencrypt, Image]);
    /// Make the mapping read-only.
    readonly: switch = flag("readonly").short('r').lax(&[Open]);
    /// Give up this much at the end of the device to make room for the header.
    reduce_device_size: value(Bytes, reduce_size) = flag("reduce-device-size").value("bytes").only_with("reencrypt")
        .lax(&[Reencrypt])
        .rules(&[
            Rule(40, |c| c.verb == Reencrypt && c.options.device_size.is_some(),
                "Options --reduce-device-size and --data-size cannot be combined."),
        ]);
    /// Reload an active mapping with the parameters given here.
    refresh: switch = flag("refresh").only(&[Open]);
    /// How an interruption is survived: `checksum`, `journal` or `none`.
    resilience: value(String, text) = flag("resilience").value("STRING").only_with("reencrypt").lax(&[Reencrypt]);
    /// Hash of `--resilience checksum`.
    resilience_hash: value(String, text) = flag("resilience-hash").value("STRING").lax(&[Reencrypt]);
    /// Only go on with what was started.
    resume_only: switch = flag("resume-only").only_with("reencrypt").lax(&[Reencrypt]);
    /// Encryption sector size in bytes: 512, 1024, 2048 or 4096. Default of `luksFormat`: 4096 where the device has
    /// physical sectors of that size, and its size and the start of the data are multiples of it; else 512. LUKS1 has
    /// 512.
    sector_size: value(SectorSize, str::parse) = flag("sector-size").value("INT")
        .only(&[Open, Cat, Write, Reencrypt, Format, Image])
        .senses(&[
            For::Help(&[Open, Cat, Write],
                "Encryption sector size of a plain volume in bytes: 512, 1024, 2048 or 4096. Default: 512."),
        ])
        .rules(&[
            Rule(11, |c| c.opens_other_than(&[Plain]),
                "Sector size option with open action is supported only for plain devices."),
            PLAIN_ONLY,
        ]);
    /// Let only one process at a time run Argon2, where many unlock at once.
    serialize_memory_hard_pbkdf: switch = flag("serialize-memory-hard-pbkdf").only(&[Open]).rules(&[NEEDS_HEADER]);
    /// Allow another plain mapping over another part of the same device.
    shared: switch = flag("shared").only(&[Open])
        .rules(&[
            Rule(4, |c| c.maps_other_than(&[Plain]), "Option --shared is allowed only for open of plain device."),
        ]);
    /// Size of the mapping, in 512-byte sectors.
    size: value(Sectors, sectors) = flag("size").short('b').value("SECTORS").only(&[Open, Cat, Write, Resize])
        .senses(&[For::Help(PLAINTEXT, "Size of a plain volume, in 512-byte sectors.")])
        .rules(&[
            PLAIN_ONLY,
            Rule(24, |c| c.options.device_size.is_some(), "Options --device-size and --size cannot be combined."),
        ]);
    /// Start counting initialisation vectors at this 512-byte sector.
    skip: value(Sectors, sectors) = flag("skip").short('p').value("SECTORS").only(&[Open, Cat, Write])
        .rules(&[
            Rule(10, |c| c.maps_other_than(&[Plain, LoopAes]),
                "Option --skip is supported only for open of plain and loopaes devices."),
            PLAIN_ONLY,
        ]);
    /// Subsystem label of the LUKS2 volume. Without `--label`, the label stays; cryptsetup clears it.
    subsystem: value(String, text) = flag("subsystem").value("STRING").only(&[Reencrypt, Config, Format, Image])
        .rules(&[NOT_FOR_LUKS1]);
    /// Only check the command line.
    test_args: switch = flag("test-args");
    /// Only check that the passphrase opens a keyslot.
    test_passphrase: switch = flag("test-passphrase").only(&[Open, Unlock, Doctor])
        .senses(&[
            For::Help(&[Unlock], "Only check that the volumes would open."),
            For::Help(&[Doctor], "Ask for a passphrase and check which volumes it opens."),
        ])
        .rules(&[
            Rule(3, |c| c.options.refresh, "Options --refresh and --test-passphrase are mutually exclusive."),
            Rule(6, |c| matches!(c.device_type, None | Some(Plain | LoopAes)),
                "Option --test-passphrase is allowed only for open of LUKS, TCRYPT, BITLK and FVAULT2 devices."),
        ]);
    /// Seconds to wait for a passphrase at the terminal. 0 waits for ever.
    timeout: value(u32, unsigned) = flag("timeout").short('t').value("secs").lax(ASKING);
    /// Token, by its number. -1 stands for any.
    token_id: value(u32, token_id) = flag("token-id").value("INT")
        .lax(BY_TOKEN).and(&[Token])
        .senses(&[For::Help(&[Token], "Number of the token.")])
        .rules(&[NEEDS_HEADER]);
    /// Do not ask for a passphrase where no token opens the volume.
    token_only: switch = flag("token-only").lax(BY_TOKEN).rules(&[NEEDS_HEADER]);
    /// Overwrite the token of that number.
    token_replace: switch = flag("token-replace").only(&[Token]);
    /// Use tokens of this type only.
    token_type: value(String, text) = flag("token-type").value("STRING").lax(BY_TOKEN).rules(&[NEEDS_HEADER]);
    /// Use the backup TrueCrypt header.
    tcrypt_backup: switch = flag("tcrypt-backup").refused().only(TCRYPT).rules(&[TCRYPT_ONLY]);
    /// Open the hidden TrueCrypt volume.
    tcrypt_hidden: switch = flag("tcrypt-hidden").refused().only(TCRYPT)
        .rules(&[
            Rule(15, |c| c.options.allow_discards,
                "Option --tcrypt-hidden cannot be combined with --allow-discards."),
            TCRYPT_ONLY,
        ]);
    /// The device is a TrueCrypt system drive.
    tcrypt_system: switch = flag("tcrypt-system").refused().only(TCRYPT).rules(&[TCRYPT_ONLY]);
    /// How often a passphrase may be tried. Default: 3.
    tries: value(u32, unsigned) = flag("tries").short('T').value("INT").lax(RETRYING)
        .senses(&[
            For::Help(&[Image], "With `--decrypt`: how often a passphrase may be tried. Default: 3."),
        ])
        .rules(&[
            Rule(Rule::OWN + 5, |c| c.is_plain(),
                "A plain volume cannot tell a wrong passphrase from the right one: leave --tries out."),
        ]);
    /// Type of the volume: `luks`, `luks1`, `luks2`, `plain`, `loopaes`, `tcrypt`, `bitlk` or `fvault2`.
    device_type: value(String, text) = flag("type").short('M').value("STRING").lax(TYPED)
        .senses(&[
            For::Help(FORMATTING, "Type of the new volume: `luks1`, `luks2`, or `luks`, which is `luks2`."),
            For::Help(&[Convert], "Type to convert to: `luks1` or `luks2`."),
            For::Help(&[Open, Cat, Write], "Type of the volume: `luks`, `luks1`, `luks2` or `plain`."),
            For::Help(TYPED, "Type of the volume: `luks`, `luks1` or `luks2`."),
        ]);
    /// A keyslot of another key than the volume's, or a token without a keyslot.
    unbound: switch = flag("unbound").only(&[Open, AddKey, Dump, Token])
        .senses(&[
            For::Help(&[AddKey], "Add a keyslot with a key of its own instead of the key of the volume."),
            For::Help(&[Token], "Add a token that no keyslot is assigned to."),
            For::Help(&[Open], "Test the keyslots whose key is not the key of the volume too."),
            For::Help(&[Dump], "Show the key of a keyslot whose key is not the key of the volume."),
        ])
        .rules(&[
            Rule(7, |c| c.opens_other_than(&[Luks, Luks1, Luks2]),
                "Option --unbound is allowed only for open of luks device."),
            Rule(8, |c| c.verb == Open && !c.options.test_passphrase,
                "Option --unbound cannot be used without --test-passphrase."),
            Rule(35, |c| c.verb == AddKey && c.options.key_size.is_none(),
                "Key size is required with --unbound option."),
            Rule(36, |c| c.verb == Dump && c.options.key_slot.is_none(), SLOT_NEEDED),
            Rule(43, |c| c.verb == Token && c.first != "add",
                "Option --unbound is valid only with token add action."),
            Rule(45, |c| c.verb == Token && c.options.key_slot.is_some(),
                "Options --key-slot and --unbound cannot be combined."),
        ]);
    /// Take the volume key from `/dev/random`. The kernel's one generator serves both: without effect.
    use_random: switch = flag("use-random").only(FORMATTING)
        .rules(&[Rule(31, |c| c.options.use_urandom, "Only one of --use-[u]random options is allowed.")]);
    /// Take the volume key from `/dev/urandom`, which is the default.
    use_urandom: switch = flag("use-urandom").only(FORMATTING);
    /// UUID for the volume.
    uuid: value(String, lower_case) = flag("uuid").value("STRING").only(&[Reencrypt, Format, Image, Uuid])
        .senses(&[For::Help(&[Uuid], "Set this UUID.")]);
    /// Look for VeraCrypt headers too, which is the default.
    veracrypt: switch = flag("veracrypt").refused().lax(TCRYPT).rules(&[VERACRYPT_ONLY]);
    /// VeraCrypt's personal iterations multiplier.
    veracrypt_pim: value(u32, unsigned) = flag("veracrypt-pim").value("INT").refused().only(TCRYPT)
        .rules(&[
            Rule(18, |c| c.options.disable_veracrypt,
                "Option --veracrypt-pim is supported only for VeraCrypt compatible devices."),
            Rule(20, |c| c.options.veracrypt_query_pim,
                "The options --veracrypt-pim and --veracrypt-query-pim are mutually exclusive."),
        ]);
    /// Ask for VeraCrypt's personal iterations multiplier.
    veracrypt_query_pim: switch = flag("veracrypt-query-pim").refused().only(TCRYPT)
        .rules(&[
            Rule(19, |c| c.options.disable_veracrypt,
                "Option --veracrypt-query-pim is supported only for VeraCrypt compatible devices."),
        ]);
    /// Say more: which keyslot opened, and how the command ended.
    verbose: switch = flag("verbose").short('v');
    /// Ask twice for each passphrase at the terminal.
    verify_passphrase: switch = flag("verify-passphrase").short('y').lax(ASKING);
    /// Volume key, in a file.
    volume_key_file: path = flag("volume-key-file").alias("master-key-file").value("STRING")
        .lax(&[Open, Cat, Write, Image, Resume, Format, AddKey, Reencrypt, Dump])
        .senses(&[
            For::Help(&[Format, Image], "Use the key in this file as the volume key."),
            For::Help(&[Dump], "With `--dump-volume-key` or `--unbound`: write the key into this file."),
        ]);
    /// Volume key, in the kernel keyring.
    volume_key_keyring: value(String, text) = flag("volume-key-keyring").value("STRING")
        .lax(&[Open, Cat, Write, Image, Resize, Resume, Format, AddKey, Reencrypt])
        .rules(&[
            Rule(27, |c| (c.options.refresh || c.is_plain())
                    && (c.options.hash.is_some() || c.options.volume_key_file.is_some()),
                "Option --volume-key-keyring cannot be combined with --hash or --volume-key-file."),
        ]);
    /// Obsolete, without effect.
    block_size: value(u32, unsigned) = flag("block-size").short('B').value("MiB").lax(&[Reencrypt]);
    /// Obsolete name of `--encrypt`.
    new: switch = flag("new").short('N').lax(&[Reencrypt]);
    /// Obsolete, without effect.
    use_directio: switch = flag("use-directio").lax(&[Reencrypt]);
    /// Obsolete, without effect.
    use_fsync: switch = flag("use-fsync").lax(&[Reencrypt]);
    /// Obsolete, without effect.
    write_log: switch = flag("write-log").lax(&[Reencrypt]);
    /// Print the answer as JSON.
    json: switch = flag("json").ours();
    /// First write a backup of the header into this folder. With `doctor`: where the backups are.
    backup: path = flag("backup").value("DIR").ours().only(WRITERS).and(&[Doctor])
        .senses(&[
            For::Help(&[Doctor], "Folder that holds the backups of the headers."),
            For::Help(WRITERS, "First write a backup of the header into this folder."),
        ]);
    /// Derive keys at any cost, even if that takes hours. Otherwise keyslots are refused that need more than 10^9
    /// iterations of PBKDF2 with SHA-256 (or as much time with another hash), or more than 4 GiB for Argon2 (512 GiB in
    /// all passes).
    no_pbkdf_limits: switch = flag("no-pbkdf-limits").ours().only(ASKING);
    /// Refuse a header that does not meet the policy in this file.
    policy: path = flag("policy").value("FILE").ours().only(&[Open, Resume, Cat, Write])
        .rules(&[
            Rule(28, |c| c.is_plain(),
                "Option --policy is for volumes with a header, which a plain volume does not have."),
        ]);
    /// Name of the keyslot: a new one, or the one that a removal needs.
    slot_name: value(String, text) = flag("slot-name").value("NAME").ours()
        .only(&[Format, Image, AddKey, ChangeKey, Config, KillSlot, RemoveKey, Erase])
        .senses(&[
            For::Help(&[Format, Image, AddKey, ChangeKey], "Name for the new keyslot."),
            For::Help(&[Config], "Give the keyslot of `--key-slot` this name."),
            For::Help(&[KillSlot, RemoveKey, Erase], "Name of the protected keyslot to remove."),
        ])
        .rules(&[Rule(38, |c| c.verb == Config && c.options.key_slot.is_none(), SLOT_NEEDED)]);
    /// Protect the keyslot: removing it needs its name.
    protect: switch = flag("protect").ours().only(&[Format, Image, AddKey, Config])
        .rules(&[Rule(39, |c| c.options.slot_name.is_none(), "Option --protect needs --slot-name.")]);
    /// Draw the layout of the device, to scale.
    map: switch = flag("map").ours().only(&[Dump]);
    /// Read or write only this many bytes of the decrypted data.
    length: value(Bytes, bytes) = flag("length").value("bytes").ours().only(PLAINTEXT)
        .senses(&[
            For::Help(&[Cat], "Read only this many bytes."),
            For::Help(&[Write], "Write only this many bytes of the input."),
        ]);
    /// With `cat` and `write` of a plain volume: where its data starts on the device, in 512-byte sectors.
    data_offset: value(Sectors, sectors) = flag("data-offset").value("SECTORS").ours().only(PLAINTEXT)
        .senses(&[
            For::Help(PLAINTEXT, "Where the data of a plain volume starts on the device, in 512-byte sectors."),
        ])
        .rules(&[PLAIN_ONLY]);
    /// What decrypts an open volume: `kernel` (the device-mapper), or `userspace` (this program, through FUSE, without
    /// root too). Default: the kernel where it has a device-mapper.
    backend: value(Backend, str::parse) = flag("backend").value("BACKEND").ours().only(&[Open]);
    /// Continue an interrupted run: parts of the target that are already right are kept.
    resume: switch = flag("resume").ours().only(&[Image]);
    /// Per cent on which a pool or a snapshot is worth a warning. Default: 80.
    warning: value(u32, percent) = flag("warning").value("PERCENT").ours().only_with("check").only(&[Check])
        .rules(&[
            Rule(48, |c| c.options.warning > c.options.critical.or(c.options.warning),
                "--warning must not be above --critical."),
        ]);
    /// Per cent on which a pool or a snapshot is critical. Default: 95.
    critical: value(u32, percent) = flag("critical").value("PERCENT").ours().only_with("check").only(&[Check]);
    /// Every volume that is not in use, with the devices stacked on it, from the top down.
    all: switch = flag("all").ours().only_with("close").only(&[Close])
        .senses(&[
            For::Help(&[Close], "Close every volume that nobody uses, and what stands on it, from the top down."),
        ])
        .rules(&[
            Rule(22, |c| c.options.cancel_deferred,
                "Options --all and --cancel-deferred cannot be used at the same time."),
            Rule(23, |c| !c.first.is_empty(), "Option --all stands for every name."),
        ]);
    /// File to read instead of `/etc/crypttab`.
    crypttab: path = flag("crypttab").value("FILE").ours().only(&[Unlock, Doctor]);
    /// File to read instead of `/proc/cmdline`.
    kernel_arguments: path = flag("kernel-arguments").value("FILE").ours().only(&[Unlock, Doctor]);
    /// Mount point of the root of the system to check. Default: `/`.
    root: path = flag("root").value("DIR").ours().only_with("doctor").only(&[Doctor]);
    /// The initramfs to look at: the file, a unified kernel image, or a folder with what is in it. Default: the one
    /// that the boot loader starts by itself.
    initramfs: path = flag("initramfs").value("PATH").ours().only(&[Doctor]);
    /// Maximum memory for key derivations. Default: nearly all that is available.
    memory_budget: value(Bytes, device_size) = flag("memory-budget").value("bytes").ours().only(&[Unlock, Doctor]);
    /// Seconds to wait for a device, unless crypttab says otherwise. Default: 90; 0 waits for ever.
    device_timeout: value(u32, unsigned) = flag("device-timeout").value("secs").ours().only(&[Unlock]);
}
