//! Standard output, through a buffer that is wiped: with `--showkeys` there are keys in it.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use keyslots::secret::Secret;
use zeroize::Zeroize;

const ROOM: usize = 16 * 1024;

/// Standard output. Written text is printed when it is flushed.
pub(super) struct Output {
    file: File,
    buffer: Secret,
    used: usize,
}

impl Output {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: io::stdout().as_fd().try_clone_to_owned()?.into(),
            buffer: Secret::zeroed(ROOM)?,
            used: 0,
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.used == ROOM {
            self.flush()?;
        }
        let taken = bytes.len().min(ROOM - self.used);
        self.buffer.expose_mut()[self.used..self.used + taken].copy_from_slice(&bytes[..taken]);
        self.used += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.buffer.expose()[..self.used]);
        self.buffer.expose_mut()[..self.used].zeroize();
        self.used = 0;
        written
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}
