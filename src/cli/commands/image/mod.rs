//! `image`: a plain image becomes a LUKS volume, or the other way round, without the device-mapper and without root.
//!
//! Both directions go through the image from its start to its end, so both work on pipes. What is interrupted can be
//! gone on with: `--resume` compares what is there with what should be and writes only the rest.

mod run;
mod sink;
mod source;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use keyslots::header::DataLayout;
use keyslots::secret::VolumeKey;
use keyslots::units::{Bytes, Sectors};
use serde_json::json;

use self::run::{Direction, Run};
use self::sink::Sink;
use self::source::{MemoryFile, Source};
use super::Context;
use super::format::{Target, make};
use super::open::Volume;
use crate::block_device;
use crate::cli::actions::DeviceType;
use crate::cli::confirm::confirm;
use crate::cli::error::CliError;
use crate::passphrase;
use crate::terminal_text::shown;
use crate::userspace::{Access, open_device};
use crate::volume;

const READING: &str = "read the image";
const WRITING: &str = "write the image";

pub(super) fn image(cx: &Context<'_>, source: &Path, target: &Path) -> Result<(), CliError> {
    if is_pipe(source) {
        cx.check_stdin_has_data()?;
    }
    if is_pipe(target) {
        cx.console.keep_stdout_for_data();
        if io::stdout().is_terminal() {
            return Err(CliError::OutputIsTerminal);
        }
    }
    // What would be read is what has just been written, without end.
    if [
        Some(target),
        cx.options.header.as_deref().filter(|_| !cx.options.decrypt),
    ]
    .into_iter()
    .flatten()
    .any(|written| !is_pipe(source) && !is_pipe(written) && block_device::is_same(source, written))
    {
        return Err(CliError::SourceIsTarget(source.to_owned()));
    }
    let mut input = Source::open(source)?;
    let (bytes, kept) = if cx.options.decrypt {
        decrypt(cx, source, &mut input, target)?
    } else {
        if input.is_luks() && !cx.options.encrypt {
            return Err(CliError::AlreadyEncrypted(source.to_owned()));
        }
        encrypt(cx, &mut input, target)?
    };
    cx.console.verbose(format_args!(
        "{bytes} bytes of data, {kept} of them were there already."
    ));
    cx.console.answer(
        || json!({ "bytes": bytes.to_string(), "kept_bytes": kept.to_string() }),
        String::new,
    );
    Ok(())
}

fn is_pipe(path: &Path) -> bool {
    path == Path::new("-")
}

/// Plain to LUKS. Returns the bytes of data, and how many were there already.
fn encrypt(cx: &Context<'_>, input: &mut Source, target: &Path) -> Result<(u64, u64), CliError> {
    let (sink, key, layout) = if is_pipe(target) {
        // The header is made in memory and goes first.
        let memory = MemoryFile::new()?;
        let (key, layout) = new_header(cx, &memory.path(), input.size)?;
        let mut header = vec![0; data_offset(&layout)? as usize];
        let mut sink = Sink::Pipe;
        memory
            .file
            .set_len(header.len() as u64)
            .and_then(|()| memory.file.read_exact_at(&mut header, 0))
            .and_then(|()| sink.put(&header))
            .map_err(CliError::io(WRITING))?;
        (sink, key, layout)
    } else {
        let (key, layout) = if cx.options.resume {
            let mut volume = Volume::read(cx, target, cx.wanted_header())?;
            let layout = volume.layout(target)?;
            (volume.data_key(cx, target)?, layout)
        } else {
            drop(agree(cx, target)?);
            new_header(cx, target, input.size)?
        };
        let file = open_device(target, Access::Write)?;
        (file_sink(cx, file, data_offset(&layout)?)?, key, layout)
    };
    let run = Run {
        layout: &layout,
        key: &key,
        direction: Direction::Encrypt,
        total: input.size,
        device: target,
    };
    run.copy(cx, input, sink)
}

/// LUKS to plain. Returns the bytes of data, and how many were there already.
fn decrypt(cx: &Context<'_>, source: &Path, input: &mut Source, target: &Path) -> Result<(u64, u64), CliError> {
    // The header of a pipe is taken from it, and the data come next.
    let in_pipe = input.size.is_none() && cx.options.header.is_none();
    let memory = if in_pipe {
        Some(MemoryFile::with_header(&mut input.input)?)
    } else {
        None
    };
    let path = memory.as_ref().map_or(source.to_owned(), MemoryFile::path);
    let mut volume = Volume::read(cx, &path, cx.wanted_header())?;
    let layout = volume.layout(&path)?;
    // Others may read the volume, but not write it.
    let _device = input.size.map(|_| open_device(source, Access::Read)).transpose()?;
    let key = volume.data_key(cx, source)?;
    let sink = if is_pipe(target) {
        Sink::Pipe
    } else {
        file_sink(cx, target_file(cx, target)?, 0)?
    };
    let offset = data_offset(&layout)?;
    if !in_pipe {
        let skipped = io::copy(&mut input.input.by_ref().take(offset), &mut io::sink());
        skipped.map_err(CliError::io(READING))?;
    }
    let there = input.size.map(|size| size.saturating_sub(offset));
    let most = layout.size.and_then(Sectors::bytes).map(Bytes::get);
    let run = Run {
        layout: &layout,
        key: &key,
        direction: Direction::Decrypt,
        total: there.into_iter().chain(most).min(),
        device: source,
    };
    run.copy(cx, input, sink)
}

/// Opens the target of a decryption, which may be overwritten, or gone on with. A file that is new or overwritten is empty
/// then.
fn target_file(cx: &Context<'_>, path: &Path) -> Result<File, CliError> {
    let file = agree(cx, path)?;
    if !cx.options.resume && file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        file.set_len(0).map_err(CliError::io(WRITING))?;
    }
    Ok(file)
}

/// Asks whether the target may be overwritten, makes it where there is none, and opens it. Nothing in it has changed.
fn agree(cx: &Context<'_>, path: &Path) -> Result<File, CliError> {
    let resume = cx.options.resume;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !resume => {
            let mut new = OpenOptions::new();
            new.write(true).create_new(true).mode(0o600);
            new.open(path).map_err(CliError::io("make the target"))?;
        }
        Ok(metadata) if !resume && (metadata.len() > 0 || metadata.file_type().is_block_device()) => {
            if !cx.console.batch() && !passphrase::is_interactive() {
                return Err(CliError::TargetExists(path.to_owned()));
            }
            let warning = format!("This will overwrite data on {} irrevocably.", shown(path));
            if !confirm(cx.console, &warning) {
                return Err(CliError::Aborted);
            }
        }
        _ => {}
    }
    Ok(open_device(path, Access::Write)?)
}

fn file_sink(cx: &Context<'_>, file: File, at: u64) -> Result<Sink, CliError> {
    // Zeros of plaintext read as zeros from a hole; those of ciphertext are holes that only --allow-discards leaves.
    let sparse = cx.options.decrypt || cx.options.allow_discards;
    Sink::file(file, at, sparse, cx.options.resume).map_err(CliError::io(WRITING))
}

/// Formats the target, which has no data yet.
fn new_header(cx: &Context<'_>, path: &Path, size: Option<u64>) -> Result<(VolumeKey, DataLayout), CliError> {
    let device_type = match cx.options.device_type.as_deref().and_then(DeviceType::from_name) {
        Some(DeviceType::Luks1) => DeviceType::Luks1,
        _ => DeviceType::Luks2,
    };
    // A detached header may be one that holds something.
    let target = Target::Image {
        in_use: cx.options.header.is_some(),
        size: Bytes::new(size.unwrap_or_default()),
    };
    let made = make(cx, path, None, device_type, target)?;
    let volume = Volume::read(cx, path, cx.wanted_header())?;
    Ok((made.key, volume::mappable(&volume.header)?))
}

fn data_offset(layout: &DataLayout) -> Result<u64, CliError> {
    let offset = layout.offset.bytes().ok_or(CliError::NoCryptSegment)?;
    Ok(offset.get())
}
