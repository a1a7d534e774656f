//! `unlock`: a machine's volumes at boot, as crypttab and the kernel's command line name them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::context::Context;
use crate::boot::cmdline;
use crate::boot::crypttab::Crypttab;
use crate::boot::prompt::Prompts;
use crate::boot::unlock::{self, Finished, Outcome, Settings};
use crate::console::ExitCode;
use crate::cryptsetup::error::CliError;

/// The entries, unless `--crypttab` names another file.
pub(super) const CRYPTTAB: &str = "/etc/crypttab";
/// The kernel's command line, unless `--kernel-arguments` says otherwise.
const KERNEL_ARGUMENTS: &str = "/proc/cmdline";
/// How long a device may take to appear, in seconds: systemd's default.
const DEVICE_TIMEOUT: u32 = 90;

/// Unlocks the entries of these names, even with `noauto`, or all without it.
pub(super) fn unlock(cx: &Context<'_>, names: &[String]) -> Result<(), CliError> {
    let crypttab = planned(cx)?;
    for warning in &crypttab.warnings {
        cx.console.complain(warning);
    }
    if let Some(name) = names
        .iter()
        .find(|name| crypttab.entries.iter().all(|entry| entry.name != **name))
    {
        return Err(CliError::NoSuchEntry(name.clone()));
    }
    let wanted = |name: &String, noauto: bool| {
        if names.is_empty() {
            !noauto
        } else {
            names.contains(name)
        }
    };
    let entries = crypttab
        .entries
        .into_iter()
        .filter(|entry| wanted(&entry.name, entry.options.noauto));
    let entries: Vec<_> = entries.collect();
    if entries.is_empty() {
        cx.console.say("There is nothing to unlock.");
        return Ok(());
    }
    let patience = cx.options.device_timeout.unwrap_or(DEVICE_TIMEOUT);
    let settings = Settings {
        memory: cx.options.memory_budget,
        device_timeout: (patience > 0).then(|| Duration::from_secs(patience.into())),
        keyring: !cx.options.disable_keyring,
        destroy: cx.options.batch_mode,
        only_try: cx.options.test_passphrase,
    };
    let mut prompts = Prompts::new().map_err(CliError::io("wait for an answer"))?;
    let finished = unlock::unlock(entries, &settings, &mut prompts)?;
    cx.console.verbose(format_args!("Peak memory: {}.", peak_memory()));
    let result = judge(cx, finished);
    let code = result.as_ref().err().map_or(ExitCode::Success, CliError::exit_code);
    prompts.finish(code.number());
    result
}

/// The entries, with the kernel's command line applied to them. Without a crypttab there are only those of the command
/// line.
fn planned(cx: &Context<'_>) -> Result<Crypttab, CliError> {
    let named = cx.options.crypttab.as_deref();
    let text = read(named.unwrap_or(Path::new(CRYPTTAB)), named.is_none())?;
    let named = cx.options.kernel_arguments.as_deref();
    let arguments = read(named.unwrap_or(Path::new(KERNEL_ARGUMENTS)), named.is_none())?;
    Ok(cmdline::plan(Crypttab::parse(&text), &arguments))
}

pub(super) fn read(path: &Path, may_lack: bool) -> Result<String, CliError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_lack => Ok(String::new()),
        Err(source) => Err(CliError::ConfigUnreadable {
            path: PathBuf::from(path),
            source,
        }),
    }
}

/// Required volumes decide the exit code; others are only reported.
fn judge(cx: &Context<'_>, finished: Vec<Finished>) -> Result<(), CliError> {
    let mut told = Vec::new();
    let mut missing = Vec::new();
    for volume in finished {
        let (state, error) = match volume.outcome {
            Outcome::Opened => ("opened", None),
            Outcome::WasOpen => ("was open", None),
            Outcome::Failed(error) => ("failed", Some(CliError::from(error))),
        };
        let message = error.as_ref().map(|error| error.to_string().trim_end().to_owned());
        told.push(json!({ "name": volume.name, "state": state, "optional": volume.optional, "message": message }));
        match error {
            Some(error) if volume.optional => {
                cx.console
                    .complain(format_args!("{} is not open (nofail): {error}", volume.name));
            }
            Some(error) => missing.push((volume.name, error)),
            None => {}
        }
    }
    cx.console
        .answer(|| json!({ "volumes": Value::Array(told) }), String::new);
    if missing.is_empty() {
        return Ok(());
    }
    Err(CliError::NotUnlocked(missing))
}

/// The peak memory of this program, as the kernel counts it.
fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(|| "unknown".into(), |peak| peak.trim().to_owned())
}
