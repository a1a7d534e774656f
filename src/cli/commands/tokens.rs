//! `token`, and what tokens are there for: passphrases from the kernel keyring.

use std::fs;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use keyslots::Unlocked;
use keyslots::header::{Header, Version};
use keyslots::luks2::{CHANGE_TOKEN, Candidates, DigestIndex, MAX_TOKENS, Metadata, Priority, Token, json};
use keyslots::secret::Passphrase;
use serde_json::json;

use super::context::Context;
use super::open::Volume;
use crate::cli::actions::TokenAction;
use crate::cli::error::CliError;
use crate::console::ExitCode;
use crate::console::Persona;
use crate::console::json_text;
use crate::header_device::{HeaderDevice, Wanted};
use crate::keyring;
use crate::slot_names;

/// The largest token that is read: more than any metadata area has.
const MAX_TOKEN_LEN: u64 = 4 * 1024 * 1024;

/// Tries the tokens that this program understands. `None` where none of them opened and a passphrase may be asked for.
pub(super) fn unlock(cx: &Context<'_>, volume: &mut Volume, slot: Option<u32>) -> Result<Option<Unlocked>, CliError> {
    match try_all(cx, volume, slot)? {
        Ok(unlocked) => Ok(Some(unlocked)),
        Err(code) if cx.options.token_only => Err(CliError::Quiet(code, CliError::NoUsableToken.to_string())),
        Err(_) => Ok(None),
    }
}

/// As [`unlock`], for who has said that a token is to open it: nobody is asked for a passphrase.
pub(super) fn unlock_only(cx: &Context<'_>, volume: &mut Volume) -> Result<Unlocked, CliError> {
    try_all(cx, volume, None)?.map_err(|code| match (cx.console.persona(), code) {
        // The reference says nothing.
        (Persona::Cryptsetup, code) => CliError::Silent(code),
        (_, ExitCode::Permission) => CliError::WrongPassphrase,
        _ => CliError::NoUsableToken,
    })
}

/// What the tokens come to: a key, or the exit code of a command that has nothing but them.
fn try_all(cx: &Context<'_>, volume: &mut Volume, slot: Option<u32>) -> Result<Result<Unlocked, ExitCode>, CliError> {
    let candidates = match &volume.header {
        Header::Luks1(_) => Vec::new(),
        Header::Luks2(header) => usable(cx, header.metadata(), slot),
    };
    let none_usable = candidates.is_empty();
    if none_usable && volume.header.version() == Version::Luks2 {
        match &cx.options.token_type {
            Some(kind) => cx
                .console
                .verbose(format_args!("No usable token (type {kind}) is available.")),
            None => cx.console.verbose("No usable token is available."),
        }
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
                Ok(unlocked) => return Ok(Ok(unlocked)),
                Err(CliError::WrongPassphrase | CliError::NoUsableKeyslot) => {}
                // Of no use here; the next one may be.
                Err(CliError::Header(error)) => cx.console.debug(format_args!("Keyslot {keyslot}: {error}.")),
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
    Ok(Err(if none_usable {
        ExitCode::Failure
    } else {
        ExitCode::Permission
    }))
}

/// Where the passphrase of a `luks2-keyring` token is: the description of a key in the kernel's keyring.
pub(super) fn keyring_description(header: &Header, id: u32) -> Result<String, CliError> {
    let token = match header {
        _ if id >= MAX_TOKENS => return Err(CliError::TokenInvalid(id)),
        Header::Luks1(_) => None,
        Header::Luks2(header) => header.metadata().tokens.get(&id),
    };
    let token = token.ok_or(CliError::TokenInactive(id))?;
    let description = token.key_description().map(str::to_owned);
    description.ok_or_else(|| CliError::TokenWithoutKey(id, token.kind.clone()))
}

/// The keyring tokens that the options allow: their numbers, key descriptions and keyslots.
fn usable(cx: &Context<'_>, metadata: &Metadata, slot: Option<u32>) -> Vec<(u32, String, Vec<u32>)> {
    let options = cx.options;
    let chosen = Chosen {
        slot,
        any_key: options.test_passphrase && options.unbound,
        ignored_too: options.token_id.is_some(),
    };
    let digests = DigestIndex::new(metadata);
    metadata
        .tokens
        .iter()
        .filter(|(id, _)| options.token_id.is_none_or(|wanted| wanted == **id))
        .filter(|(_, token)| options.token_type.as_deref().is_none_or(|wanted| wanted == token.kind))
        .filter_map(|(&id, token)| {
            let description = token.key_description()?.to_owned();
            let keyslots: Vec<u32> = token
                .keyslots
                .iter()
                .copied()
                .filter(|&keyslot| chosen.takes(metadata, &digests, keyslot))
                .collect();
            (!keyslots.is_empty()).then_some((id, description, keyslots))
        })
        .collect()
}

/// Which of its keyslots a token may open.
struct Chosen {
    /// `--key-slot`: this one alone, whatever its key is for.
    slot: Option<u32>,
    /// Also those of other keys than that of the data.
    any_key: bool,
    /// Also those of the priority `ignore`.
    ignored_too: bool,
}

impl Chosen {
    fn takes(&self, metadata: &Metadata, digests: &DigestIndex<'_>, keyslot: u32) -> bool {
        let Some(found) = metadata.keyslots.get(&keyslot) else {
            return false;
        };
        let of_data = digests.is_bound(keyslot);
        let named = self.slot.map_or(of_data || self.any_key, |slot| slot == keyslot);
        named && (self.ignored_too || found.priority() != Priority::Ignore)
    }
}

/// `token`.
pub(super) fn token(cx: &Context<'_>, device: &Path, action: &TokenAction) -> Result<(), CliError> {
    let header_device = cx.header_device(device);
    let (header, _) = cx.read_header(&header_device, Wanted::Only(Version::Luks2))?;
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
                slot_names::check_token(header, Some(*token), None)?;
                Ok(header.remove_token(storage, *token)?)
            })?;
            cx.console.verbose(format_args!("Token {token} removed."));
            cx.console.answer(|| json!({ "token": token }), String::new);
            Ok(())
        }
        TokenAction::Export { token } => export(cx, &header, *token),
        TokenAction::Unassign { token, slot } => {
            let slot = cx.slot_number(&header, slot)?;
            change(cx, &header_device, |header, storage| {
                slot_names::check_token(header, Some(*token), Some(slot))?;
                Ok(header.assign_token(storage, *token, slot, false)?)
            })
        }
    }
}

fn put(cx: &Context<'_>, device: &HeaderDevice, token: Token) -> Result<(), CliError> {
    let (id, replace) = (cx.options.token_id, cx.options.token_replace);
    let made = change(cx, device, |header, storage| {
        let replaced = id.filter(|_| replace);
        slot_names::check_token(header, replaced, None)?;
        slot_names::check_import(header, &token, replaced)?;
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
    let mut token = Token::from_json(&text).map_err(CliError::TokenDefect)?;
    if token.kind == CHANGE_TOKEN || !token.is_foreign() && token.key_description().is_none() {
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
        Some(token) => token.to_value(),
        None if id >= MAX_TOKENS => return Err(CliError::TokenInvalid(id)),
        None => return Err(CliError::TokenExport(id)),
    };
    let text = json::to_bytes(&token);
    match cx.options.json_file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            // It may hold what another program keeps from others.
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
            file.and_then(|mut file| file.write_all(&text))
                .map_err(CliError::io("write the token"))?;
            cx.console.answer(|| json!({ "token": id, "file": path }), String::new);
        }
        None if cx.console.json() => cx
            .console
            .answer(|| json!({ "token": id, "content": json::strict(&token) }), String::new),
        // What a program reads is the token to the byte.
        None if std::io::stdout().is_terminal() => {
            let text = format!("{}\n", json_text(&token.to_string()));
            cx.console.write(text.as_bytes());
        }
        None => cx.console.write(&text),
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use keyslots::hash::Hash;
    use keyslots::kdf::{CostLimits, Kdf};
    use keyslots::luks2::{self, CreateParams, DataPlace, KeyFor, NewKeyslot};
    use keyslots::secret::{Secret, VolumeKey};
    use keyslots::storage::Memory;
    use keyslots::units::Bytes;
    use keyslots::wipe::Medium;

    use super::*;

    /// As cryptsetup 2.6.1 does it: a keyslot of another key would open, and the data not.
    #[test]
    fn a_token_opens_what_holds_the_key_of_the_data() {
        let limits = CostLimits::default();
        let key = VolumeKey::random(32).expect("random bytes");
        let params = CreateParams {
            encryption: "aes-xts-plain64".into(),
            sector_size: 512,
            uuid: None,
            label: String::new(),
            subsystem: String::new(),
            metadata_size: None,
            keyslots_size: None,
            data: DataPlace::Aligned(Bytes::mib(1)),
            digest_hash: Hash::Sha256,
            digest_iterations: 1000,
        };
        let mut storage = Memory::zeroed(18 << 20);
        let mut header = luks2::create(&params, &key, &limits).expect("a header");
        header.write_new(&mut storage, Medium::Other).expect("memory");
        let new = NewKeyslot {
            kdf: Kdf::Pbkdf2 {
                hash: Hash::Sha256,
                iterations: 1000,
            },
            af_hash: Hash::Sha256,
            encryption: "aes-xts-plain64".parse().expect("a cipher"),
            area_key_size: 32,
            priority: None,
        };
        let passphrase = Passphrase::new(Secret::copy_from(b"pw").expect("a page"));
        for (slot, key_for) in [
            (0, KeyFor::Data),
            (1, KeyFor::Unbound(Hash::Sha256, 1000)),
            (2, KeyFor::Data),
        ] {
            header
                .add_keyslot(&mut storage, &key, &passphrase, &new, Some(slot), key_for, &limits)
                .expect("room");
        }
        header
            .set_priority(&mut storage, 2, Priority::Ignore)
            .expect("a keyslot");
        let digests = DigestIndex::new(header.metadata());
        let taken = |slot, any_key, ignored_too| {
            let chosen = Chosen {
                slot,
                any_key,
                ignored_too,
            };
            let all = (0..4).filter(|&keyslot| chosen.takes(header.metadata(), &digests, keyslot));
            all.collect::<Vec<u32>>()
        };
        assert_eq!(taken(None, false, false), [0]);
        assert_eq!(taken(None, true, false), [0, 1]);
        assert_eq!(taken(None, false, true), [0, 2]);
        assert_eq!(taken(Some(1), false, false), [1]);
        assert!(taken(Some(2), false, false).is_empty());
    }
}
