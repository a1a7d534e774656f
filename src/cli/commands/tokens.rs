//! `token`, and what tokens are there for: passphrases from the kernel keyring.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use keyslots::Unlocked;
use keyslots::header::{Header, Version};
use keyslots::luks2::tokens::RESERVED_PREFIX;
use keyslots::luks2::{Candidates, MAX_TOKENS, Token};
use keyslots::secret::Passphrase;
use serde_json::json;

use super::Context;
use super::open::Volume;
use crate::cli::actions::TokenAction;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::output::json_text;
use crate::header_device::{HeaderDevice, Wanted};
use crate::keyring;

/// The largest token that is read: more than any metadata area has.
const MAX_TOKEN_LEN: u64 = 4 * 1024 * 1024;

/// Tries the tokens that this program understands. `None` where none of them opened and a passphrase may be asked for.
pub(super) fn unlock(cx: &Context<'_>, volume: &mut Volume, slot: Option<u32>) -> Result<Option<Unlocked>, CliError> {
    let candidates = match &volume.header {
        Header::Luks1(_) => Vec::new(),
        Header::Luks2(header) => usable(cx, &header.metadata().tokens, slot),
    };
    let none_usable = candidates.is_empty();
    if none_usable && volume.header.version() == Version::Luks2 {
        cx.console.verbose("No usable token is available.");
    }
    for (id, description, keyslots) in candidates {
        let passphrase = match keyring::read_user_key(&description) {
            Ok(secret) => Passphrase::new(secret),
            Err(error) => {
                cx.console.debug(format_args!("Token {id}: {error}."));
                continue;
            }
        };
        for keyslot in keyslots {
            match volume.unlock(cx, &passphrase, Candidates::Keyslot(keyslot)) {
                Ok(unlocked) => return Ok(Some(unlocked)),
                Err(CliError::WrongPassphrase | CliError::NoUsableKeyslot) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let named = match (cx.options.token_id, &cx.options.token_type) {
        _ if none_usable => None,
        (Some(id), _) => Some(format!("Token {id}")),
        (None, Some(kind)) => Some(format!("Token (type {kind})")),
        (None, None) => None,
    };
    if let Some(token) = named {
        cx.console.verbose(format_args!(
            "{token} cannot unlock assigned keyslot(s) (wrong keyslot passphrase)."
        ));
    }
    if cx.options.token_only {
        return Err(CliError::Silent(if none_usable {
            ExitCode::Failure
        } else {
            ExitCode::Permission
        }));
    }
    Ok(None)
}

/// The keyring tokens that the options allow: their numbers, key descriptions and keyslots.
fn usable(
    cx: &Context<'_>,
    tokens: &std::collections::BTreeMap<u32, Token>,
    slot: Option<u32>,
) -> Vec<(u32, String, Vec<u32>)> {
    let options = cx.options;
    tokens
        .iter()
        .filter(|(id, _)| options.token_id.is_none_or(|wanted| wanted == **id))
        .filter(|(_, token)| options.token_type.as_deref().is_none_or(|wanted| wanted == token.kind))
        .filter_map(|(&id, token)| {
            let description = token.key_description()?.to_owned();
            let keyslots: Vec<u32> = token
                .keyslots
                .iter()
                .copied()
                .filter(|&keyslot| slot.is_none_or(|slot| slot == keyslot))
                .collect();
            (!keyslots.is_empty()).then_some((id, description, keyslots))
        })
        .collect()
}

/// Makes a token name a keyslot that was just made.
pub(super) fn assign(cx: &Context<'_>, device: &HeaderDevice, token: u32, keyslot: u32) -> Result<(), CliError> {
    change(cx, device, |header, storage| {
        Ok(header.assign_token(storage, token, keyslot, true)?)
    })
}

/// `token`.
pub(super) fn token(cx: &Context<'_>, device: &Path, action: &TokenAction) -> Result<(), CliError> {
    let header_device = cx.header_device(device);
    let (header, _) = header_device.read(Wanted::Only(Version::Luks2))?;
    let options = cx.options;
    match action {
        TokenAction::Add { key_description } => {
            let slot = cx.key_slot(&header)?;
            let keyslots = match slot {
                _ if options.unbound => Vec::new(),
                Some(slot) => vec![slot],
                None => header.used_keyslots(),
            };
            put(cx, &header_device, Token::keyring(key_description, keyslots))
        }
        TokenAction::Import => put(cx, &header_device, read_token(cx, &header)?),
        TokenAction::Remove { token } => {
            change(cx, &header_device, |header, storage| {
                Ok(header.remove_token(storage, *token)?)
            })?;
            cx.console.verbose(format_args!("Token {token} removed."));
            Ok(())
        }
        TokenAction::Export { token } => export(cx, &header, *token),
        TokenAction::Unassign { token, slot } => {
            let slot = cx.slot_number(&header, slot)?;
            change(cx, &header_device, |header, storage| {
                Ok(header.assign_token(storage, *token, slot, false)?)
            })
        }
    }
}

fn put(cx: &Context<'_>, device: &HeaderDevice, token: Token) -> Result<(), CliError> {
    let (id, replace) = (cx.options.token_id, cx.options.token_replace);
    let made = change(cx, device, |header, storage| {
        Ok(header.put_token(storage, token, id, replace)?)
    })?;
    cx.console.verbose(format_args!("Token {made} created."));
    cx.console.answer(|| json!({ "token": made }), String::new);
    Ok(())
}

/// The token from `--json-file` or standard input, with `--key-slot` in its list where that is given.
fn read_token(cx: &Context<'_>, header: &Header) -> Result<Token, CliError> {
    let mut text = Vec::new();
    let failed = CliError::io("read the token");
    match cx.options.json_file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let file = fs::File::open(path).map_err(|_| CliError::TokenFile(path.to_owned()))?;
            file.take(MAX_TOKEN_LEN).read_to_end(&mut text).map_err(failed)?;
        }
        None => {
            std::io::stdin()
                .take(MAX_TOKEN_LEN)
                .read_to_end(&mut text)
                .map_err(failed)?;
        }
    }
    // A file may end in a new line.
    let mut token = Token::from_json(text.trim_ascii()).map_err(CliError::TokenDefect)?;
    if token.kind.starts_with(RESERVED_PREFIX) && token.key_description().is_none() {
        return Err(CliError::TokenReserved(token.kind));
    }
    if let Some(slot) = cx.key_slot(header)?
        && !token.keyslots.contains(&slot)
    {
        token.keyslots.push(slot);
    }
    Ok(token)
}

fn export(cx: &Context<'_>, header: &Header, id: u32) -> Result<(), CliError> {
    let token = header.luks2().and_then(|header| header.metadata().tokens.get(&id));
    let token = match token {
        Some(token) => format!("{}\n", json_text(&token.to_value().to_string())),
        None if id >= MAX_TOKENS => return Err(CliError::TokenInvalid(id)),
        None => return Err(CliError::TokenExport(id)),
    };
    match cx.options.json_file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => fs::write(path, token).map_err(CliError::io("write the token")),
        None => {
            cx.console.write(token.as_bytes());
            Ok(())
        }
    }
}

fn change<T>(
    cx: &Context<'_>,
    device: &HeaderDevice,
    action: impl FnOnce(&mut keyslots::luks2::Header, &mut dyn keyslots::storage::Storage) -> Result<T, CliError>,
) -> Result<T, CliError> {
    cx.change(device, Wanted::Only(Version::Luks2), |header, storage| match header {
        Header::Luks2(header) => action(header, storage),
        Header::Luks1(_) => Err(CliError::NoUsableToken),
    })
}
