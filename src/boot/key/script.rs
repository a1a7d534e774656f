//! A key script of Debian's: its environment is documented in crypttab(5), its exit status is ignored.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use keyslots::secret::Passphrase;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stream::{self, Limits};
use super::{Entry, NoKey};
use crate::boot::crypttab::unescape;
use crate::boot::program::spawn;
use crate::passphrase::KeyFileRange;

/// Where Debian's crypttab(5) looks for a program that is not named by its path.
const SCRIPTS: &str = "/lib/cryptsetup/scripts";
/// The time that a script has to restore the terminal when it is asked to end.
const GRACE: Duration = Duration::from_millis(500);

/// Runs it, and takes its output, byte for byte.
pub(super) fn run(
    program: &str,
    argument: &str,
    entry: &Entry,
    source: &Path,
    tried: u32,
    limits: &Limits,
) -> Result<Passphrase, NoKey> {
    let path = path(program);
    let failed = |error: io::Error| NoKey::because(&path.display(), &error);
    let [name, device, key, options] = &entry.fields;
    let mut command = Command::new(&path);
    command.arg(argument).stdout(Stdio::piped());
    command.env("CRYPTTAB_NAME", &entry.name).env("_CRYPTTAB_NAME", name);
    command.env("CRYPTTAB_SOURCE", source).env("_CRYPTTAB_SOURCE", device);
    command.env("CRYPTTAB_KEY", argument).env("_CRYPTTAB_KEY", key);
    command
        .env("CRYPTTAB_OPTIONS", unescape(options))
        .env("_CRYPTTAB_OPTIONS", options);
    command.env("CRYPTTAB_TRIED", tried.to_string());
    for (option, value) in &entry.options.given {
        command.env(format!("CRYPTTAB_OPTION_{}", option.replace('-', "_")), value);
    }
    let mut child = spawn(&mut command).map_err(failed)?;
    let read = printed(&mut child, limits).and_then(|passphrase| ended(&mut child, limits).map(|()| passphrase));
    if read.is_err() {
        end(&mut child);
    }
    read.map_err(failed)
}

fn path(program: &str) -> PathBuf {
    if program.starts_with('/') {
        program.into()
    } else {
        Path::new(SCRIPTS).join(program)
    }
}

fn printed(child: &mut Child, limits: &Limits) -> io::Result<Passphrase> {
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    stream::read(output.into(), KeyFileRange::ALL, limits)
}

fn ended(child: &mut Child, limits: &Limits) -> io::Result<()> {
    while child.try_wait()?.is_none() {
        limits.pause()?;
    }
    Ok(())
}

/// Ends it and its children: one that prompts at the console would continue.
fn end(child: &mut Child) {
    let mut all = vec![child.id()];
    let mut at = 0;
    while let Some(pid) = all.get(at) {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        all.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        at += 1;
    }
    let send = |signal| {
        for pid in all.iter().filter_map(|pid| i32::try_from(*pid).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    };
    send(Signal::SIGTERM);
    thread::sleep(GRACE);
    send(Signal::SIGKILL);
    let _ = child.wait();
}
