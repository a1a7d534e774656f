//! Processing the data of an image: read, encrypt or decrypt, write.

use std::io::{self, Read as _};
use std::path::Path;

use keyslots::header::DataLayout;
use keyslots::secret::VolumeKey;
use keyslots::units::{Bytes, Sectors};

use super::image_target::{Sink, is_zero};
use super::source::Source;
use super::{READING, WRITING};
use crate::console::Progress;
use crate::cryptsetup::commands::context::Context;
use crate::cryptsetup::commands::plaintext::copy_failed;
use crate::cryptsetup::error::{CliError, ImageError};
use crate::userspace::{Sequential, pump, read_full};

/// The operation on the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Encrypt,
    Decrypt,
}

/// All of an image's data.
pub(super) struct Run<'a> {
    pub(super) layout: &'a DataLayout,
    pub(super) key: &'a VolumeKey,
    pub(super) direction: Direction,
    /// Bytes to come, if that is known.
    pub(super) total: Option<u64>,
    /// The path for progress output.
    pub(super) device: &'a Path,
}

impl Run<'_> {
    /// Copies all data, and makes sure that the target stores them. Returns how many bytes there were, and how many of
    /// them were already in the target.
    pub(super) fn copy(&self, cx: &Context<'_>, input: &mut Source, mut sink: Sink) -> Result<(u64, u64), CliError> {
        let sector_size = self.layout.sector_size as usize;
        let size = self.layout.size.and_then(Sectors::bytes).map(Bytes::get);
        let mut left = size.unwrap_or(u64::MAX);
        let mut cipher = Sequential::new(self.layout, self.key)?;
        let mut progress = Progress::new(cx.progress_form(), self.device.display().to_string(), self.total);
        let (mut came, mut bytes, mut padding) = (0, 0, 0);
        let copied = pump(
            &mut input.stop,
            |chunk| {
                let most = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let len = read_full(&mut input.input, &mut chunk[..most])?;
                left -= len as u64;
                came += len as u64;
                if self.direction == Direction::Decrypt {
                    // As in the kernel: a partial sector at the end is not part of the volume.
                    return Ok(len / sector_size * sector_size);
                }
                // Only the last chunk can end inside a sector.
                let whole = len.next_multiple_of(sector_size);
                chunk[len..whole].fill(0);
                padding += whole - len;
                Ok(whole)
            },
            |chunk| {
                self.crypt(&mut cipher, chunk, cx.options.allow_discards)?;
                sink.put(chunk)?;
                bytes += chunk.len() as u64;
                progress.at(bytes);
                Ok(())
            },
        );
        drop(progress);
        copied.map_err(|error| copy_failed(error, READING, WRITING))?;
        // A source that was cut off, or shrank meanwhile, is incomplete: the target stays unfinished.
        let wanted = match self.direction {
            Direction::Decrypt => size.or(self.total),
            Direction::Encrypt => self.total,
        };
        if let Some(wanted) = wanted.filter(|wanted| came < *wanted) {
            return Err(CliError::Image(ImageError::ImageShort { came, wanted }));
        }
        // A volume whose header states its size may be too small for the input.
        if self.direction == Direction::Encrypt
            && left == 0
            && input.input.read(&mut [0]).map_err(CliError::io(READING))? > 0
        {
            return Err(CliError::Image(ImageError::VolumeEnds { written: bytes }));
        }
        if padding > 0 {
            cx.console.complain(format_args!(
                "The image ends inside a sector of {sector_size} bytes: {padding} zero bytes were added."
            ));
        }
        let kept = sink.finish().map_err(CliError::io(WRITING))?;
        Ok((bytes, kept))
    }

    /// Encrypts or decrypts a chunk. With `holes`, sectors of zeros stay as they are on both sides.
    fn crypt(&self, cipher: &mut Sequential, chunk: &mut [u8], holes: bool) -> io::Result<()> {
        let crypt = match self.direction {
            Direction::Encrypt => Sequential::encrypt,
            Direction::Decrypt => Sequential::decrypt,
        };
        if !holes {
            return crypt(cipher, chunk);
        }
        for sector in chunk.chunks_mut(self.layout.sector_size as usize) {
            if is_zero(sector) {
                cipher.skip(sector.len() as u64);
            } else {
                crypt(cipher, sector)?;
            }
        }
        Ok(())
    }
}
