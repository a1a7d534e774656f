//! A part of a disk as if it were a disk of its own, and what a disk would be with a few bytes changed: a header is read
//! where it was found, and a repair is tried before a byte of it is written.

use std::io;

use keyslots::storage::Storage;
use keyslots::units::Bytes;

/// A part of a storage, which starts at zero.
pub(super) struct Window<'a> {
    storage: &'a mut dyn Storage,
    start: u64,
    len: u64,
}

impl<'a> Window<'a> {
    pub(super) fn new(storage: &'a mut dyn Storage, start: u64, len: u64) -> Self {
        Self { storage, start, len }
    }

    fn place(&self, offset: Bytes, len: usize) -> io::Result<Bytes> {
        let end = offset.get().checked_add(len as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let place = self.start.checked_add(offset.get());
        place.map(Bytes::new).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Storage for Window<'_> {
    fn size(&mut self) -> io::Result<Bytes> {
        Ok(Bytes::new(self.len))
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        let place = self.place(offset, buf.len())?;
        self.storage.read_at(place, buf)
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()> {
        let place = self.place(offset, buf.len())?;
        self.storage.write_at(place, buf)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.storage.sync()
    }
}

/// A storage to which writes are only remembered.
pub(super) struct Overlay<'a> {
    storage: &'a mut dyn Storage,
    /// In the order in which they were written.
    pub(super) writes: Vec<(u64, Vec<u8>)>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(storage: &'a mut dyn Storage) -> Self {
        Self {
            storage,
            writes: Vec::new(),
        }
    }
}

impl Storage for Overlay<'_> {
    fn size(&mut self) -> io::Result<Bytes> {
        self.storage.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        // What cannot be read may have been written anew.
        let read = self.storage.read_at(offset, buf);
        let end = offset.get().saturating_add(buf.len() as u64);
        let mut covered = false;
        for (at, bytes) in &self.writes {
            let (from, to) = (offset.get().max(*at), end.min(at + bytes.len() as u64));
            if from < to {
                let target = (from - offset.get()) as usize..(to - offset.get()) as usize;
                covered |= target.len() == buf.len();
                buf[target].copy_from_slice(&bytes[(from - at) as usize..(to - at) as usize]);
            }
        }
        if covered { Ok(()) } else { read }
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()> {
        self.writes.push((offset.get(), buf.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslots::storage::Memory;

    #[test]
    fn a_window_ends_where_it_ends() {
        let mut memory = Memory((0..100).collect());
        let mut window = Window::new(&mut memory, 10, 20);
        let mut bytes = [0; 4];
        window.read_at(Bytes::new(16), &mut bytes).expect("inside");
        assert_eq!(bytes, [26, 27, 28, 29]);
        for offset in [17, 100, u64::MAX] {
            let error = window.read_at(Bytes::new(offset), &mut bytes).expect_err("outside");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn what_was_written_is_read_and_not_on_the_disk() {
        let mut memory = Memory::zeroed(100);
        let mut overlay = Overlay::new(&mut memory);
        overlay.write_at(Bytes::new(10), &[1; 10]).expect("remembered");
        overlay.write_at(Bytes::new(15), &[2; 10]).expect("remembered");
        let mut bytes = [9; 20];
        overlay.read_at(Bytes::new(8), &mut bytes).expect("memory");
        assert_eq!(bytes, [0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0]);
        assert!(memory.0.iter().all(|byte| *byte == 0));
    }
}
