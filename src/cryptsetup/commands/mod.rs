//! From an action to the file that implements it.

mod access;
mod active;
mod answer;
mod benchmark;
mod cat;
mod check;
mod close;
mod config;
mod context;
mod cost;
mod doctor;
mod dump;
mod erase;
mod events;
mod format;
mod header_copy;
mod image;
mod inspect;
mod keyring_keys;
mod keys;
mod list;
mod luks;
mod mapped;
mod open;
mod plain;
mod plaintext;
mod questions;
mod reencrypt;
mod resize;
mod secrets;
mod serve;
mod status;
mod suspend;
mod target_text;
mod tokens;
mod unlock;
mod write;

use super::actions::Verb;
use super::error::CliError;
use super::request::{Action, Invocation};
use crate::console::{Console, Persona};
use context::Context;
pub use context::DmsetupRun;
use mapped::Question;

/// Runs an invocation.
///
/// # Errors
/// The action's.
pub fn run(invocation: &Invocation, console: &Console, dmsetup: DmsetupRun) -> Result<(), CliError> {
    console.debug(format_args!("Running command {}.", invocation.verb.name()));
    let context = Context {
        options: &invocation.options,
        console,
        dmsetup,
    };
    carry_out(invocation, &context).map_err(|error| match error {
        // cryptsetup does not name the version that `--type` asked for; only actions that need one do so themselves.
        CliError::NotLuks { device, .. }
            if console.persona() == Persona::Cryptsetup
                && invocation.options.device_type.is_some()
                && !matches!(invocation.verb, Verb::Config | Verb::Token | Verb::ConvertKey) =>
        {
            CliError::NotLuks { device, kind: "LUKS" }
        }
        error => error,
    })
}

fn carry_out(invocation: &Invocation, cx: &Context<'_>) -> Result<(), CliError> {
    // No handler is called, but the same paths are refused as by cryptsetup.
    if let Some(folder) = invocation
        .options
        .external_tokens_path
        .as_ref()
        .filter(|folder| folder.is_relative())
    {
        return Err(CliError::ExternalTokensPath(folder.clone()));
    }
    match &invocation.action {
        Action::Open {
            device,
            name,
            device_type,
        } => open::open(cx, device, name.as_deref(), *device_type),
        Action::Refresh {
            name,
            device,
            device_type,
        } => open::refresh(cx, name, device.as_deref(), *device_type),
        Action::Close { name } => close::close(cx, name),
        Action::CloseAll => close::close_all(cx),
        Action::Unlock { names } => unlock::unlock(cx, names),
        Action::Answer => answer::answer(cx),
        Action::Doctor => doctor::doctor(cx),
        Action::Status { name } => status::status(cx, name),
        Action::List => list::list(cx),
        Action::Info { devices } => mapped::answer(cx, Question::Info, devices),
        Action::Deps { devices } => mapped::answer(cx, Question::Deps, devices),
        Action::Table { devices } => mapped::answer(cx, Question::Table, devices),
        Action::Tree => mapped::tree(cx),
        Action::Check { devices } => check::check(cx, devices),
        Action::Benchmark => benchmark::benchmark(cx),
        Action::Erase { device } => erase::erase(cx, device),
        Action::Format {
            device,
            key_file,
            device_type,
        } => format::format(cx, device, key_file.as_deref(), *device_type),
        Action::AddKey { device, new_key_file } => keys::add(cx, device, new_key_file.as_deref()),
        Action::RemoveKey { device, key_file } => keys::remove(cx, device, key_file.as_deref()),
        Action::ChangeKey { device, new_key_file } => keys::change(cx, device, new_key_file.as_deref()),
        Action::ConvertKey { device, key_file } => keys::convert(cx, device, key_file.as_deref()),
        Action::KillSlot { device, slot } => erase::kill_slot(cx, device, slot),
        Action::Uuid { device } => inspect::uuid(cx, device),
        Action::IsLuks { device, device_type } => inspect::is_luks(cx, device, *device_type),
        Action::Dump { device } => inspect::dump(cx, device),
        Action::Config { device } => config::config(cx, device),
        Action::Repair { device } => config::repair(cx, device),
        Action::Convert { device, to } => config::convert(cx, device, *to),
        Action::HeaderBackup { device, file } => header_copy::backup(cx, device, file),
        Action::HeaderRestore { device, file } => header_copy::restore(cx, device, file),
        Action::Token { device, action } => tokens::token(cx, device, action),
        Action::Resize { name } => resize::resize(cx, name),
        Action::Suspend { name } => suspend::suspend(name),
        Action::Resume { name } => suspend::resume(cx, name),
        Action::Cat { device } => cat::cat(cx, device),
        Action::Write { device, file } => write::write(cx, device, file.as_deref()),
        Action::Image { source, target } => image::image(cx, source, target),
        Action::Reencrypt { device, name } => reencrypt::reencrypt(cx, device.as_deref(), name.as_deref()),
        Action::TcryptDump { .. } | Action::BitlkDump { .. } | Action::Fvault2Dump { .. } => {
            Err(CliError::Unavailable(invocation.verb.name()))
        }
    }
}
