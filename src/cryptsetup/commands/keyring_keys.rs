//! Volume keys in the kernel's keyrings: `--volume-key-keyring`, `--link-vk-to-keyring`.

use keyslots::secret::VolumeKey;

use super::context::Context;
use crate::console::Persona;
use crate::crypt_device::{KeyLink, LuksDevice};
use crate::cryptsetup::error::CliError;
use crate::cryptsetup::usage::UsageError;
use crate::keyring::{self, KeyType};

/// Parses `--link-vk-to-keyring`; the keyring must exist. Before the prompt for a passphrase.
///
/// A second link is for the second volume key of a reencryption: cryptsetup checks it, and otherwise ignores it.
pub(super) fn key_link<'a>(cx: &Context<'a>) -> Result<Option<KeyLink<'a>>, CliError> {
    let links = &cx.options.link_vk_to_keyring;
    let Some(first) = links.first() else {
        return Ok(None);
    };
    let link = parse(first)?;
    if let Some(second) = links.get(1) {
        if cx.console.persona() != Persona::Cryptsetup {
            return Err(UsageError::Rule("Only one --link-vk-to-keyring argument is allowed.").into());
        }
        if parse(second)?.keyring != link.keyring {
            return Err(CliError::LinkKeyrings);
        }
    }
    keyring::check_keyring(link.keyring)?;
    Ok(Some(link))
}

/// `<keyring>::<key>`, with `%user:` or `%logon:` before the key if its type is given.
fn parse(text: &str) -> Result<KeyLink<'_>, CliError> {
    let bad = || CliError::BadKeyringLink(text.to_owned());
    let (keyring, description) = text.split_once("::").ok_or_else(bad)?;
    let (kind, description) = match description.strip_prefix('%') {
        None => (KeyType::User, description),
        Some(typed) => match typed.split_once(':').ok_or_else(bad)? {
            ("logon", description) => (KeyType::Logon, description),
            ("user", description) => (KeyType::User, description),
            _ => return Err(bad()),
        },
    };
    if description.is_empty() {
        return Err(bad());
    }
    Ok(KeyLink {
        keyring,
        kind,
        description,
    })
}

/// The volume key that `--volume-key-keyring` names, checked against the header.
pub(super) fn volume_key(cx: &Context<'_>, volume: &LuksDevice, description: &str) -> Result<VolumeKey, CliError> {
    let key = VolumeKey::new(keyring::read_key(description)?);
    volume.header.verify_volume_key(&key, &cx.cost_limits())?;
    Ok(key)
}
