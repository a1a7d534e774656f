//! `rescue`: what is left of a damaged or lost header, and the command for each next step.

mod findings;
mod map;
mod remedies;
mod result;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use keyslots::storage::Storage as _;
use keyslots::units::Bytes;

use self::findings::Findings;
use super::context::Context;
use crate::block_device::{self, DevNo};
use crate::console::{ExitCode, Progress, confirm};
use crate::crypt_device::LookedAt;
use crate::cryptsetup::error::CliError;
use crate::header_device::HeaderDevice;
use crate::rescue::apply::{Applying, RescueError, apply};
use crate::rescue::{Request, Verdict, examine};

/// Files of a folder that are looked at as backups.
const MOST_BACKUPS: usize = 1000;

pub(super) fn rescue(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    let options = cx.options;
    let header_device = HeaderDevice::new(device, !options.disable_locks);
    let mut opened = header_device.open(false)?;
    let looking = || CliError::io("look at the device");
    let seen = opened
        .file
        .try_clone()
        .and_then(|file| LookedAt::new(file, device))
        .map_err(looking())?;
    let disk = opened.number.and_then(block_device::disk_of_partition).map(disk_path);
    let size = opened.file.size().map_err(looking())?.get();
    let mut request = Request {
        from: options.from.map_or(0, Bytes::get),
        only_there: false,
        backups: backups(cx)?,
        is_disk: disk.is_none(),
    };
    let wanted = options.apply.map(|number| number as usize);
    let mut search = |request: &Request| {
        let mut progress = Progress::new(cx.progress_form(), device.display().to_string(), Some(size));
        crate::rescue::scan::expect_sequential(&opened.file);
        examine(&mut opened.file, request, &mut |at| progress.at(at)).map_err(looking())
    };
    // The ways out for the header where the search starts have the first numbers: without it, if one of them is wanted.
    request.only_there = wanted.is_some();
    let mut report = search(&request)?;
    if wanted.is_some_and(|number| number > report.remedies.len()) {
        request.only_there = false;
        report = search(&request)?;
    }
    let findings = Findings {
        device,
        disk,
        report: &report,
    };
    if let Some(number) = wanted {
        return carry_out(cx, &header_device, &seen, &findings, number);
    }
    cx.console.answer(
        || result::to_json(&findings, options.map),
        || {
            let map = if options.map {
                map::text(&findings)
            } else {
                String::new()
            };
            text::text(&findings) + &map
        },
    );
    match report.verdict() {
        Verdict::Nothing | Verdict::Lost | Verdict::NoKeyslot | Verdict::StartsBefore | Verdict::CutOff(_) => {
            Err(CliError::Quiet(ExitCode::Failure, text::verdict(&findings)))
        }
        _ => Ok(()),
    }
}

fn carry_out(
    cx: &Context<'_>,
    device: &HeaderDevice,
    seen: &LookedAt,
    findings: &Findings<'_>,
    number: usize,
) -> Result<(), CliError> {
    let save_to = cx.options.save_to.as_deref().unwrap_or(Path::new("."));
    let remedy = number.checked_sub(1).and_then(|at| findings.report.remedies.get(at));
    let question = remedy.map(|remedy| {
        let what = remedies::sentence(remedy);
        format!(
            "{}: {what}\nWhat it overwrites is saved to {} first.",
            findings.device.display(),
            save_to.display()
        )
    });
    let applied = cx.changing(|changing| {
        let applying = Applying {
            device,
            seen,
            save_to,
            changing,
            confirm: cx,
        };
        apply(&applying, findings.report, number, || {
            question.is_some_and(|question| confirm(cx.console, &question))
        })
    });
    let applied = applied.map_err(|error| match error {
        RescueError::Device(error) => error.into(),
        RescueError::InUse(error) => error.into(),
        RescueError::Restore(error) => error.into(),
        RescueError::Declined => CliError::Aborted,
        error => CliError::Rescue(error),
    })?;
    cx.console.answer(
        || result::applied(findings, &applied),
        || text::applied(findings, &applied),
    );
    Ok(())
}

/// The files that the options name as backups.
fn backups(cx: &Context<'_>) -> Result<Vec<PathBuf>, CliError> {
    let mut found: Vec<PathBuf> = cx.options.header_backup_file.iter().cloned().collect();
    if let Some(folder) = &cx.options.backup {
        let failed = |source| CliError::ConfigUnreadable {
            path: folder.clone(),
            source,
        };
        let entries = fs::read_dir(folder).map_err(failed)?;
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).take(MOST_BACKUPS).collect();
        files.sort();
        found.extend(files);
    }
    Ok(found)
}

fn disk_path(disk: DevNo) -> PathBuf {
    disk.path()
        .unwrap_or_else(|| PathBuf::from(format!("/dev/block/{disk}")))
}
