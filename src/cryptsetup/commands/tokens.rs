//! `token`, and unlocking by tokens: passphrases from the kernel keyring.

use std::fs;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use keyslots::Unlocked;
use keyslots::header::Version;
use keyslots::luks2::{Candidates, Token, json};
use serde_json::json;

use super::context::Context;
use crate::console::ExitCode;
use crate::console::Persona;
use crate::console::json_text;
use crate::crypt_device::tokens::TokenChoice;
use crate::crypt_device::{CryptError, LuksDevice, TokenPlace, parse_importable};
use crate::cryptsetup::error::{CliError, TokenError};
use crate::cryptsetup::request::TokenAction;
use crate::header_device::Wanted;
use crate::same_bytes;

/// The largest token that is read: more than any metadata area has.
const MAX_TOKEN_LEN: u64 = 4 * 1024 * 1024;

/// The tokens that the options allow to unlock with.
pub(super) fn choice<'a>(cx: &Context<'a>) -> TokenChoice<'a> {
    TokenChoice {
        id: cx.options.token_id,
        kind: cx.options.token_type.as_deref(),
        ..TokenChoice::default()
    }
}

/// Their name in messages, where the options name any.
pub(super) fn named(cx: &Context<'_>) -> Option<String> {
    match (cx.options.token_id, &cx.options.token_type) {
        (Some(id), _) => Some(format!("Token {id}")),
        (None, Some(kind)) => Some(format!("Token (type {kind})")),
        (None, None) => None,
    }
}

/// Unlocks with `--token-only`: no prompt follows.
pub(super) fn unlock_only(
    cx: &Context<'_>,
    volume: &mut LuksDevice,
    candidates: Candidates,
) -> Result<Unlocked, CliError> {
    let text = CliError::Tokens(TokenError::NoUsableToken).to_string();
    try_all(cx, volume, candidates)?.map_err(|code| CliError::Quiet(code, text))
}

/// Unlocks for a new keyslot, where the user named tokens: no prompt follows.
pub(super) fn unlock_for_keyslot(cx: &Context<'_>, volume: &mut LuksDevice) -> Result<Unlocked, CliError> {
    try_all(cx, volume, Candidates::All)?.map_err(|code| match (cx.console.persona(), code) {
        // cryptsetup prints nothing.
        (Persona::Cryptsetup, code) => CliError::Silent(code),
        (_, ExitCode::Permission) => CliError::WrongPassphrase,
        _ => CliError::Tokens(TokenError::NoUsableToken),
    })
}

/// The outcome of tokens: a key, or the exit code of a command that relies on them alone.
fn try_all(
    cx: &Context<'_>,
    volume: &mut LuksDevice,
    candidates: Candidates,
) -> Result<Result<Unlocked, ExitCode>, CliError> {
    let choice = choice(cx);
    cx.unlocking(candidates, |request| match volume.unlock_by_tokens(request, &choice) {
        Err(CryptError::NoToken { was_tried: true }) => Ok(Err(ExitCode::Permission)),
        Err(CryptError::NoToken { was_tried: false }) => Ok(Err(ExitCode::Failure)),
        unlocked => unlocked.map(Ok),
    })
}

/// `token`.
pub(super) fn token(cx: &Context<'_>, device: &Path, action: &TokenAction) -> Result<(), CliError> {
    let volume = cx.read(device, Wanted::Only(Version::Luks2))?;
    let options = cx.options;
    let place = TokenPlace {
        id: options.token_id,
        replace: options.token_replace,
    };
    let made = match action {
        TokenAction::Add { key_description } => {
            let slot = cx.key_slot(&volume.header)?;
            let keyslots = match options.unbound {
                true => Some(Vec::new()),
                false => slot.map(|slot| vec![slot]),
            };
            cx.changing(|changing| volume.add_keyring_token(changing, key_description, keyslots, place))?
        }
        TokenAction::Import => {
            let token = read_token(cx, &volume)?;
            cx.changing(|changing| volume.add_token(changing, token, place))?
        }
        TokenAction::Remove { token } => {
            cx.changing(|changing| volume.remove_token(changing, *token))?;
            cx.console.verbose(format_args!("Token {token} removed."));
            cx.console.answer(|| json!({ "token": token }), String::new);
            return Ok(());
        }
        TokenAction::Export { token } => return export(cx, &volume, *token),
        TokenAction::Unassign { token, slot } => {
            let slot = slot.number(&volume.header)?;
            return Ok(cx.changing(|changing| volume.unassign_token(changing, *token, slot))?);
        }
    };
    cx.console.verbose(format_args!("Token {made} created."));
    cx.console.answer(|| json!({ "token": made }), String::new);
    Ok(())
}

/// The token from `--json-file` or standard input, with `--key-slot` in its list if given.
fn read_token(cx: &Context<'_>, volume: &LuksDevice) -> Result<Token, CliError> {
    let mut text = Vec::new();
    let failed = CliError::io("read the token");
    match cx.options.json_file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let file = fs::File::open(path).map_err(|_| CliError::Tokens(TokenError::File(path.to_owned())))?;
            file.take(MAX_TOKEN_LEN).read_to_end(&mut text).map_err(failed)?;
        }
        None => {
            std::io::stdin()
                .take(MAX_TOKEN_LEN)
                .read_to_end(&mut text)
                .map_err(failed)?;
        }
    }
    let mut token = parse_importable(&text).map_err(CryptError::from)?;
    if let Some(slot) = cx.key_slot(&volume.header)?
        && !token.keyslots.contains(&slot)
    {
        token.keyslots.push(slot);
    }
    Ok(token)
}

fn export(cx: &Context<'_>, volume: &LuksDevice, id: u32) -> Result<(), CliError> {
    let token = match volume.token(id).map_err(CliError::from) {
        Err(CliError::Tokens(TokenError::Inactive(id))) => Err(CliError::Tokens(TokenError::Export(id))),
        token => token,
    }?
    .to_value();
    let text = json::to_bytes(&token);
    match cx.options.json_file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let failed = || CliError::io("write the token");
            // It may hold a secret of another program. What is there is cut off only when it is known not to be the volume.
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(failed())?;
            if same_bytes::is_same(&volume.opened.file, &file).map_err(failed())? {
                return Err(CliError::Tokens(TokenError::ExportOverVolume(path.to_owned())));
            }
            let written = file.write_all(&text).and_then(|()| match file.metadata()?.is_file() {
                true => file.set_len(text.len() as u64),
                false => Ok(()),
            });
            written.map_err(failed())?;
            cx.console.answer(|| json!({ "token": id, "file": path }), String::new);
        }
        None if cx.console.json() => cx
            .console
            .answer(|| json!({ "token": id, "content": json::strict(&token) }), String::new),
        // Programs read the token to the byte.
        None if std::io::stdout().is_terminal() => {
            let text = format!("{}\n", json_text(&token.to_string()));
            cx.console.write(text.as_bytes());
        }
        None => cx.console.write(&text),
    }
    Ok(())
}
