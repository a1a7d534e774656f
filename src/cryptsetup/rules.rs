//! Options that exclude each other, with cryptsetup's message for each, found by running it.
//!
//! Each rule sees the action, the type of volume if the action is `open`, and the options. That an option belongs to the
//! action at all was checked before.

use super::actions::{DeviceType, Spoken, Verb};
use super::args::Options;
use super::usage::UsageError;
use super::values::{PbkdfKind, SectorSize};
use crate::console::Persona;

/// The input of a rule.
struct Case<'a> {
    verb: Verb,
    /// The type of volume for `open`; `None` if `--type` is unknown.
    device_type: Option<DeviceType>,
    refresh: bool,
    options: &'a Options,
    /// The first argument, which names a token action.
    first: &'a str,
}

impl Case<'_> {
    fn opens_other_than(&self, types: &[DeviceType]) -> bool {
        self.verb == Verb::Open && !self.device_type.is_some_and(|device_type| types.contains(&device_type))
    }

    /// Whether the volume is a plain one.
    fn is_plain(&self) -> bool {
        self.verb == Verb::Open && self.device_type == Some(DeviceType::Plain)
            || matches!(self.verb, Verb::Cat | Verb::Write)
                && self.options.device_type.as_deref().and_then(DeviceType::from_name) == Some(DeviceType::Plain)
    }

    fn makes_luks1(&self) -> bool {
        self.verb == Verb::Format && self.device_type == Some(DeviceType::Luks1)
    }

    fn token(&self, action: &str) -> bool {
        self.verb == Verb::Token && self.first == action
    }
}

/// Checks all rules; the first violation is the error.
pub(super) fn check(
    persona: Persona,
    spoken: &Spoken,
    options: &Options,
    device_type: Option<DeviceType>,
) -> Result<(), UsageError> {
    let refresh = spoken.refresh || options.refresh;
    let first = spoken
        .arguments
        .first()
        .and_then(|first| first.to_str())
        .unwrap_or_default();
    let case = Case {
        verb: spoken.verb,
        device_type,
        refresh,
        options,
        first,
    };
    let own = OWN_RULES.iter().filter(|_| persona == Persona::Luksmith);
    RULES
        .iter()
        .chain(own)
        .find(|(broken, _)| broken(&case))
        .map_or(Ok(()), |(_, text)| Err(UsageError::Rule(text)))
}

/// A rule: its condition, and the message for a violation.
type Rule = (fn(&Case<'_>) -> bool, &'static str);

#[rustfmt::skip]
const RULES: &[Rule] = &[
    (|c| c.options.link_vk_to_keyring.len() > 2, "At most 2 keyring link specifications can be supplied."),
    (|c| c.options.key_file.len() > 1 && c.verb != Verb::TcryptDump
         && (c.verb != Verb::Open || c.opens_other_than(&[DeviceType::Tcrypt])),
     "Only one --key-file argument is allowed."),
    // open
    (|c| c.refresh && c.options.test_passphrase,
     "Options --refresh and --test-passphrase are mutually exclusive."),
    (|c| c.options.shared && !c.refresh && c.opens_other_than(&[DeviceType::Plain]),
     "Option --shared is allowed only for open of plain device."),
    (|c| c.options.persistent && c.options.test_passphrase,
     "Option --persistent is not allowed with --test-passphrase."),
    (|c| c.options.test_passphrase
         && matches!(c.device_type, None | Some(DeviceType::Plain | DeviceType::LoopAes)),
     "Option --test-passphrase is allowed only for open of LUKS, TCRYPT, BITLK and FVAULT2 devices."),
    (|c| c.options.unbound && c.opens_other_than(LUKS),
     "Option --unbound is allowed only for open of luks device."),
    (|c| c.options.unbound && c.verb == Verb::Open && !c.options.test_passphrase,
     "Option --unbound cannot be used without --test-passphrase."),
    (|c| c.options.offset.is_some() && !c.refresh && c.opens_other_than(HEADERLESS),
     "Option --offset with open action is only supported for plain and loopaes devices."),
    (|c| c.options.skip.is_some() && !c.refresh && c.opens_other_than(HEADERLESS),
     "Option --skip is supported only for open of plain and loopaes devices."),
    (|c| c.options.sector_size.is_some() && c.opens_other_than(&[DeviceType::Plain]),
     "Sector size option with open action is supported only for plain devices."),
    (|c| c.options.iv_large_sectors
         && (c.opens_other_than(&[DeviceType::Plain]) || c.options.sector_size.map_or(512, SectorSize::get) <= 512),
     "Large IV sectors option is supported only for opening plain type device with sector size larger than 512 bytes."),
    // cat and write
    (|c| matches!(c.verb, Verb::Cat | Verb::Write)
         && c.options.device_type.as_deref().and_then(DeviceType::from_name) != Some(DeviceType::Plain)
         && (c.options.cipher.is_some() || c.options.hash.is_some() || c.options.key_size.is_some()
             || c.options.sector_size.is_some() || c.options.size.is_some() || c.options.skip.is_some()
             || c.options.iv_large_sectors || c.options.data_offset.is_some()),
     "Options that say how a volume is encrypted are for plain volumes: --type plain."),
    (|c| matches!(c.verb, Verb::Cat | Verb::Write) && c.options.iv_large_sectors
         && c.options.sector_size.map_or(512, SectorSize::get) <= 512,
     "Large IV sectors option is supported only for opening plain type device with sector size larger than 512 bytes."),
    // TrueCrypt
    (|c| c.options.tcrypt_hidden && c.options.allow_discards,
     "Option --tcrypt-hidden cannot be combined with --allow-discards."),
    (|c| (c.options.tcrypt_hidden || c.options.tcrypt_system || c.options.tcrypt_backup)
         && c.opens_other_than(&[DeviceType::Tcrypt]),
     "Option --tcrypt-hidden, --tcrypt-system or --tcrypt-backup is supported only for TCRYPT device."),
    (|c| (c.options.veracrypt || c.options.disable_veracrypt) && c.opens_other_than(&[DeviceType::Tcrypt]),
     "Option --veracrypt or --disable-veracrypt is supported only for TCRYPT device type."),
    (|c| c.options.veracrypt_pim.is_some() && c.options.disable_veracrypt,
     "Option --veracrypt-pim is supported only for VeraCrypt compatible devices."),
    (|c| c.options.veracrypt_query_pim && c.options.disable_veracrypt,
     "Option --veracrypt-query-pim is supported only for VeraCrypt compatible devices."),
    (|c| c.options.veracrypt_pim.is_some() && c.options.veracrypt_query_pim,
     "The options --veracrypt-pim and --veracrypt-query-pim are mutually exclusive."),
    // close, resize
    (|c| c.options.deferred && c.options.cancel_deferred,
     "Options --cancel-deferred and --deferred cannot be used at the same time."),
    (|c| c.options.all && c.options.cancel_deferred,
     "Options --all and --cancel-deferred cannot be used at the same time."),
    (|c| c.options.all && !c.first.is_empty(),
     "Option --all stands for every name."),
    (|c| c.options.size.is_some() && c.options.device_size.is_some(),
     "Options --device-size and --size cannot be combined."),
    // the kernel's keyring
    (|c| c.options.disable_keyring && (c.options.key_description.is_some() || c.options.new_key_description.is_some()),
     "Cannot use keyring key description when keyring is disabled."),
    (|c| c.options.disable_keyring && !c.options.link_vk_to_keyring.is_empty(),
     "Cannot link volume key to a keyring when keyring is disabled."),
    (|c| c.options.volume_key_keyring.is_some() && (c.refresh || c.is_plain())
         && (c.options.hash.is_some() || c.options.volume_key_file.is_some()),
     "Option --volume-key-keyring cannot be combined with --hash or --volume-key-file."),
    (|c| c.options.policy.is_some() && c.is_plain(),
     "Option --policy is for volumes with a header, which a plain volume does not have."),
    // luksFormat and keyslots
    (|c| c.options.integrity_inline && c.options.integrity.is_none(),
     "Inline integrity must be used together with --integrity option."),
    (|c| c.options.align_payload.is_some() && c.options.offset.is_some(),
     "Options --align-payload and --offset cannot be combined."),
    (|c| c.options.use_random && c.options.use_urandom,
     "Only one of --use-[u]random options is allowed."),
    (|c| c.options.integrity_no_wipe && c.options.integrity.is_none() && c.verb == Verb::Format,
     "Option --integrity-no-wipe can be used only for format action with integrity extension."),
    (|c| c.options.keyslot_cipher.is_some() != c.options.keyslot_key_size.is_some(),
     "Options --keyslot-cipher and --keyslot-key-size must be used together."),
    (|c| c.options.pbkdf_force_iterations.is_some() && c.options.iter_time.is_some(),
     "PBKDF forced iterations cannot be combined with iteration time option."),
    (|c| c.verb == Verb::AddKey && c.options.unbound && c.options.key_size.is_none_or(|size| size.bits() == 0),
     "Key size is required with --unbound option."),
    (|c| c.verb == Verb::Dump && c.options.unbound && c.options.key_slot.is_none(), SLOT_NEEDED),
    (|c| c.options.priority.is_some() && c.options.key_slot.is_none(), SLOT_NEEDED),
    (|c| c.verb == Verb::Config && c.options.slot_name.is_some() && c.options.key_slot.is_none(), SLOT_NEEDED),
    (|c| c.options.protect && c.options.slot_name.is_none(), "Option --protect needs --slot-name."),
    // reencrypt
    (|c| c.verb == Verb::Reencrypt && c.options.reduce_device_size.is_some() && c.options.device_size.is_some(),
     "Options --reduce-device-size and --data-size cannot be combined."),
    (|c| c.options.force_offline_reencrypt && c.options.active_name.is_some(),
     "Options --active-name and --force-offline-reencrypt cannot be combined."),
    // token
    (|c| c.verb == Verb::Token && !["add", "remove", "import", "export", "unassign"].contains(&c.first),
     "Invalid token action."),
    (|c| c.verb == Verb::Token && c.options.unbound && c.first != "add",
     "Option --unbound is valid only with token add action."),
    (|c| c.token("add") && c.options.key_description.is_none(),
     "--key-description parameter is mandatory for token add action."),
    (|c| c.token("add") && c.options.unbound && c.options.key_slot.is_some(),
     "Options --key-slot and --unbound cannot be combined."),
    (|c| c.token("unassign") && c.options.key_slot.is_none(),
     "Action requires specific keyslot. Use --key-slot parameter."),
    (|c| (c.token("remove") || c.token("export") || c.token("unassign")) && c.options.token_id.is_none(),
     "Action requires specific token. Use --token-id parameter."),
];

/// Options that cryptsetup ignores, and that we refuse under our own name: they would do nothing.
#[rustfmt::skip]
const OWN_RULES: &[Rule] = &[
    (|c| c.verb == Verb::Open && !c.refresh && c.device_type.is_some_and(DeviceType::is_luks)
         && (c.options.cipher.is_some() || c.options.hash.is_some()
             || c.options.key_size.is_some() && c.options.volume_key_file.is_none()),
     "Options that say how a volume is encrypted are for plain volumes: --type plain."),
    (|c| c.is_plain()
         && (c.options.key_slot.is_some() || c.options.token_id.is_some() || c.options.token_only
             || c.options.token_type.is_some() || c.options.header.is_some() || c.options.persistent
             || c.options.serialize_memory_hard_pbkdf),
     "A plain volume has no header, and so no keyslots, tokens or stored flags: leave their options out."),
    (|c| c.makes_luks1() && (c.options.label.is_some() || c.options.subsystem.is_some()),
     "LUKS1 has no label and no subsystem: leave the option out, or use --type luks2."),
    (|c| (c.makes_luks1() || c.options.pbkdf == Some(PbkdfKind::Pbkdf2))
         && (c.options.pbkdf_memory.is_some() || c.options.pbkdf_parallel.is_some()),
     "PBKDF2 has no memory cost and no threads: leave --pbkdf-memory and --pbkdf-parallel out."),
    (|c| c.options.integrity_key_size.is_some() && c.options.integrity.is_none(),
     "Option --integrity-key-size needs --integrity."),
];

const SLOT_NEEDED: &str = "Keyslot specification is required.";
const LUKS: &[DeviceType] = &[DeviceType::Luks, DeviceType::Luks1, DeviceType::Luks2];
const HEADERLESS: &[DeviceType] = &[DeviceType::Plain, DeviceType::LoopAes];
