//! [`Read`], [`Write`] and [`Seek`] over a volume.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::Volume;

impl Read for Volume {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.read_at(self.position, buf)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for Volume {
    /// As [`Volume::write_at`]: `StorageFull` at the end of the volume.
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.write_at(self.position, data)?;
        self.position += written as u64;
        Ok(written)
    }

    /// Nothing is buffered here, so there is nothing to do; [`Volume::sync`] makes data survive a power loss.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Volume {
    /// A position past the end is none: a volume has the size that it has.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let size = self.size().get();
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position
            .filter(|position| *position <= size)
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
