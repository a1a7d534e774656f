//! `image`: a plain image becomes a LUKS volume, or the other way round, without the device-mapper and without root.
//!
//! Both directions read the image from its start to its end, so both work on pipes. An interrupted run can be continued:
//! `--resume` compares existing contents with the expected ones and writes only the rest.

mod image_target;
mod run;
mod source;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use keyslots::header::DataLayout;
use keyslots::secret::VolumeKey;
use keyslots::units::{Bytes, Sectors};
use serde_json::json;

use self::image_target::{Last, Sink, Start};
use self::run::{Direction, Run};
use self::source::{MemoryFile, Source};
use super::context::Context;
use super::format::make;
use super::plaintext::{check_output_apart, standard_output};
use crate::block_device::is_same_file;
use crate::console::confirm;
use crate::crypt_device::format::{FormatTarget, Made, check_room};
use crate::crypt_device::{LookedAt, check_header_unused, open_to_look};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::{CliError, ImageError};
use crate::header_device::HeaderDevice;
use crate::passphrase;
use crate::same_bytes;
use crate::terminal_text::shown;
use crate::unfinished::is_unfinished;
use crate::userspace::{Access, open_device};
use crate::volume;

const READING: &str = "read the image";
const WRITING: &str = "write the image";
const LOOKING: &str = "look at the target";

pub(super) fn image(cx: &Context<'_>, source: &Path, target: &Path) -> Result<(), CliError> {
    if is_pipe(source) {
        cx.check_stdin_has_data()?;
    }
    if is_pipe(target) {
        cx.console.keep_stdout_for_data();
        if io::stdout().is_terminal() {
            return Err(CliError::Image(ImageError::OutputIsTerminal));
        }
    }
    let mut input = Source::open(source)?;
    let (bytes, kept) = if cx.options.decrypt {
        decrypt(cx, source, &mut input, target)?
    } else {
        if input.is_luks() && !cx.options.encrypt {
            return Err(CliError::Image(ImageError::AlreadyEncrypted(source.to_owned())));
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

/// Plain to LUKS. Returns the bytes of data, and how many were already there.
fn encrypt(cx: &Context<'_>, input: &mut Source, target: &Path) -> Result<(u64, u64), CliError> {
    let apart = cx.options.header.as_deref();
    if let Some(header) = apart.filter(|header| header.exists()) {
        let opened = cx.header_device(header).open(false)?;
        input.check_apart(&opened.file, header)?;
        if is_pipe(target) {
            check_output_apart(&opened.file, header)?;
        }
    }
    let (sink, key, layout) = if is_pipe(target) {
        input.check_apart(&standard_output()?, target)?;
        // The header is made in memory and comes first; a detached one is unfinished until the data are complete.
        let memory = MemoryFile::new()?;
        let made = new_header(cx, &memory.path(), input.size, None)?;
        let layout = volume::mappable(&made.header)?;
        let mut header = vec![0; data_offset(&layout)? as usize];
        let mut sink = Sink::Pipe(apart.map(|_| made.file));
        memory
            .file
            .set_len(header.len() as u64)
            .and_then(|()| memory.file.read_exact_at(&mut header, 0))
            .and_then(|()| sink.put(&header))
            .map_err(CliError::io(WRITING))?;
        (sink, made.key, layout)
    } else {
        let file = agree(cx, input, target)?;
        let (key, layout, header) = if cx.options.resume {
            gone_on_with(cx, input, target, &file)?
        } else {
            let made = new_header(cx, target, input.size, Some(&file))?;
            (made.key, volume::mappable(&made.header)?, made.file)
        };
        let offset = data_offset(&layout)?;
        if let Some(size) = input.size {
            let data = size.checked_next_multiple_of(layout.sector_size.into());
            let end = data.and_then(|data| data.checked_add(offset)).unwrap_or(u64::MAX);
            check_room(&file, target, Bytes::new(end))?;
        }
        (file_sink(cx, file, offset, Last::Magic(header))?, key, layout)
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

/// Unlocks a partly written target: its key, the place of its data, and the file with its header.
fn gone_on_with(
    cx: &Context<'_>,
    input: &Source,
    target: &Path,
    file: &File,
) -> Result<(VolumeKey, DataLayout, File), CliError> {
    let mut header = match cx.options.header.as_deref() {
        Some(path) => {
            // It is written to in the end: from here on it is held, and others are locked out.
            let mut header = open_device(path, Access::Write)?;
            input.check_apart(&header, path)?;
            check_header_unused(&mut header, path)?;
            header
        }
        None => file.try_clone().map_err(CliError::io(WRITING))?,
    };
    let memory = match is_unfinished(&header) {
        true => Some(MemoryFile::with_unfinished(&mut header)?),
        false => None,
    };
    let device = match &memory {
        Some(memory) => HeaderDevice::new(memory.path(), false),
        None => cx.header_device(target),
    };
    let mut volume = cx.load_from(device, target, cx.wanted_header())?;
    if memory.is_none() && !is_same_file(&volume.opened.file, &header).map_err(CliError::io(LOOKING))? {
        return Err(keyslots::Error::ChangedMeanwhile.into());
    }
    let layout = volume::mappable(&volume.header)?;
    volume::check_apart(&volume.header, &header, &layout, file)?;
    Ok((cx.data_key(&mut volume, target)?, layout, header))
}

/// LUKS to plain. Returns the bytes of data, and how many were already there.
fn decrypt(cx: &Context<'_>, source: &Path, input: &mut Source, target: &Path) -> Result<(u64, u64), CliError> {
    // The header of a pipe is taken from it, and the data come next.
    let in_pipe = input.size.is_none() && cx.options.header.is_none();
    let memory = if in_pipe {
        Some(MemoryFile::with_header(&mut input.input)?)
    } else {
        None
    };
    let path = memory.as_ref().map_or(source.to_owned(), MemoryFile::path);
    let mut volume = cx.load(&path, cx.wanted_header())?;
    let layout = volume.layout(&path)?;
    let offset = data_offset(&layout)?;
    let there = input.size.map(|size| size.saturating_sub(offset));
    let most = layout.size.and_then(Sectors::bytes).map(Bytes::get);
    let total = there.into_iter().chain(most).min();
    // A volume that was cut off is reported before the prompt for a passphrase.
    if let (Some(came), Some(wanted)) = (there, most)
        && came < wanted
    {
        return Err(CliError::Image(ImageError::ImageShort { came, wanted }));
    }
    let key = cx.data_key(&mut volume, source)?;
    let sink = if is_pipe(target) {
        input.check_apart(&standard_output()?, target)?;
        check_output_apart(&volume.opened.file, cx.header_device(source).path())?;
        Sink::Pipe(None)
    } else {
        let file = agree(cx, input, target)?;
        if same_bytes::is_same(&volume.opened.file, &file).map_err(CliError::io(READING))? {
            return Err(CliError::Image(ImageError::SourceIsTarget(target.to_owned())));
        }
        if let Some(total) = total {
            let sectors = total / u64::from(layout.sector_size);
            check_room(&file, target, Bytes::new(sectors * u64::from(layout.sector_size)))?;
        }
        // A file that is new or overwritten is empty then.
        if !cx.options.resume && file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            file.set_len(0).map_err(CliError::io(WRITING))?;
        }
        file_sink(cx, file, 0, Last::Start(Start::new()))?
    };
    if !in_pipe {
        let skipped = io::copy(&mut input.input.by_ref().take(offset), &mut io::sink());
        skipped.map_err(CliError::io(READING))?;
    }
    let run = Run {
        layout: &layout,
        key: &key,
        direction: Direction::Decrypt,
        total,
        device: source,
    };
    run.copy(cx, input, sink)
}

/// Asks whether the target may be overwritten, creates it if it is missing, and opens it exclusively. Its contents are
/// unchanged and unread.
fn agree(cx: &Context<'_>, input: &Source, path: &Path) -> Result<File, CliError> {
    let resume = cx.options.resume;
    // The confirmed target stays open: the path may lead to another by the time of the answer.
    let seen = match open_to_look(path) {
        Ok(there) => {
            input.check_apart(&there, path)?;
            let metadata = there.metadata().map_err(CliError::io(LOOKING))?;
            if !resume && (metadata.len() > 0 || metadata.file_type().is_block_device()) {
                if !cx.console.batch() && !passphrase::is_interactive() {
                    return Err(CliError::Image(ImageError::TargetExists(path.to_owned())));
                }
                let warning = format!("This will overwrite data on {} irrevocably.", shown(path));
                if !confirm(cx.console, &warning) {
                    return Err(CliError::Aborted);
                }
            }
            Some(LookedAt::new(there, path).map_err(CliError::io(LOOKING))?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !resume => {
            let mut new = OpenOptions::new();
            new.write(true).create_new(true).mode(0o600);
            let made = new.open(path).map_err(CliError::io("make the target"))?;
            Some(LookedAt::new(made, path).map_err(CliError::io(LOOKING))?)
        }
        Err(_) => None,
    };
    let file = open_device(path, Access::Write)?;
    let is_seen = |seen: &LookedAt| seen.is_open_as(&file).map_err(CliError::io(LOOKING));
    if !seen.as_ref().map_or(Ok(false), is_seen)? {
        return Err(keyslots::Error::ChangedMeanwhile.into());
    }
    input.check_apart(&file, path)?;
    Ok(file)
}

fn file_sink(cx: &Context<'_>, file: File, at: u64, last: Last) -> Result<Sink, CliError> {
    // Zeros of plaintext read as zeros from a hole; those of ciphertext are holes that only --allow-discards leaves.
    let sparse = cx.options.decrypt || cx.options.allow_discards;
    Sink::file(file, at, sparse, cx.options.resume, last).map_err(CliError::io(WRITING))
}

/// Formats the target, which has no data yet.
fn new_header(cx: &Context<'_>, path: &Path, size: Option<u64>, held: Option<&File>) -> Result<Made, CliError> {
    let device_type = match cx.options.device_type.as_deref().and_then(DeviceType::from_name) {
        Some(DeviceType::Luks1) => DeviceType::Luks1,
        _ => DeviceType::Luks2,
    };
    let target = FormatTarget::Image {
        held,
        size: size.map(Bytes::new),
        sparse: cx.options.allow_discards,
    };
    make(cx, path, None, device_type, target)
}

fn data_offset(layout: &DataLayout) -> Result<u64, CliError> {
    let offset = layout.offset.bytes().ok_or(CliError::NoCryptSegment)?;
    Ok(offset.get())
}
