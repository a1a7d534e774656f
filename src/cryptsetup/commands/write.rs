//! `write`: standard input or a file into the plaintext of a volume, without the device-mapper.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::json;

use super::context::Context;
use super::plaintext::{copy_failed, standard_input};
use crate::console::confirm;
use crate::cryptsetup::error::{CliError, ImageError};
use crate::same_bytes;
use crate::terminal_text::shown;
use crate::userspace::{Access, Stoppable, pump, read_full};

const READING: &str = "read the input";

/// Unlocks the volume and writes the input from `--offset` on: `--length` bytes of it, or all. The data are on the
/// device when this returns.
pub(super) fn write(cx: &Context<'_>, device: &Path, file: Option<&Path>) -> Result<(), CliError> {
    let file = file.filter(|file| *file != Path::new("-"));
    let mut size = cx.options.length.map(keyslots::units::Bytes::get);
    // A file is written whole.
    let mut least = 0;
    let input = match file {
        None => {
            cx.check_stdin_has_data()?;
            standard_input()?
        }
        Some(path) => {
            let file = File::open(path).map_err(|_| CliError::DeviceMissing(path.to_owned()))?;
            let metadata = file.metadata().map_err(CliError::io(READING))?;
            // Files of /proc have no size, whatever they hold.
            if metadata.is_file() && metadata.len() > 0 {
                least = size.unwrap_or(u64::MAX).min(metadata.len());
                size = Some(least);
            }
            file
        }
    };
    let ground = same_bytes::ground(&input).map_err(CliError::io(READING))?;
    let (input, stop) = Stoppable::new(input).map_err(CliError::io(READING))?;
    let volume = cx.plaintext(device, Access::Write)?;
    // Each read would return what was just written.
    if same_bytes::ground(volume.device())
        .map_err(CliError::io("look at the device"))?
        .overlaps(&ground)
    {
        return Err(CliError::Image(ImageError::SourceIsTarget(device.to_owned())));
    }
    let offset = cx.plaintext_offset().get();
    let room = volume
        .size()
        .get()
        .checked_sub(offset)
        .ok_or(CliError::Image(ImageError::VolumeEnds { written: 0 }))?;
    if file.is_some() && size.is_some_and(|size| size > room) {
        return Err(CliError::Image(ImageError::VolumeEnds { written: 0 }));
    }
    let warning = format!(
        "This will overwrite data in the volume on {} irrevocably.",
        shown(device)
    );
    if file.is_some() && !confirm(cx.console, &warning) {
        return Err(CliError::Aborted);
    }
    let mut input = input.take(size.unwrap_or(u64::MAX));
    let mut at = offset;
    let mut full = false;
    let copied = pump(
        &mut Some(stop),
        |chunk| read_full(&mut input, chunk),
        |chunk| {
            if full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let written = if at < volume.size().get() {
                volume.write_at(at, chunk)?
            } else {
                0
            };
            at += written as u64;
            full = written < chunk.len();
            if full {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        },
    );
    // Written data stay written, whatever follows.
    volume.sync().map_err(CliError::io("sync the volume"))?;
    if full {
        return Err(CliError::Image(ImageError::VolumeEnds { written: at - offset }));
    }
    copied.map_err(|error| copy_failed(error, READING, "write the data"))?;
    if at - offset < least {
        // The file has become shorter, or could not be read to its end.
        return Err(CliError::io(READING)(io::ErrorKind::UnexpectedEof.into()));
    }
    cx.console
        .answer(|| json!({ "bytes": (at - offset).to_string() }), String::new);
    Ok(())
}
