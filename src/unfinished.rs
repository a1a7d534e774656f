//! Headers of unfinished images: complete except for the magic numbers, which come last. No program takes such a target for
//! a volume, and the command that made it can be resumed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use keyslots::storage::Storage;
use keyslots::units::Bytes;

/// The magic numbers of the first copy of a header and of the second, and their placeholders.
const MAGICS: [([u8; 6], [u8; 6]); 2] = [
    (*b"LUKS\xba\xbe", *b"luks\xba\xbe"),
    (*b"SKUL\xba\xbe", *b"skul\xba\xbe"),
];

/// The possible offsets of the copies: the second one follows the first, which has one of nine sizes.
const PLACES: [(u64, usize); 10] = {
    let mut places = [(0, 0); 10];
    let mut n = 1;
    while n < 10 {
        places[n] = (0x4000 << (n - 1), 1);
        n += 1;
    }
    places
};

/// A device whose header is unfinished, seen as if it were complete.
#[derive(Debug)]
pub struct Unfinished<'a>(pub &'a mut File);

impl Storage for Unfinished<'_> {
    fn size(&mut self) -> io::Result<Bytes> {
        self.0.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)?;
        for (at, which) in places_in(offset, buf.len()) {
            let (magic, stand_in) = MAGICS[which];
            if buf[at..at + 6] == stand_in {
                buf[at..at + 6].copy_from_slice(&magic);
            }
        }
        Ok(())
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()> {
        let mut changed = None;
        for (at, which) in places_in(offset, buf.len()) {
            let (magic, stand_in) = MAGICS[which];
            if buf[at..at + 6] == magic {
                changed.get_or_insert_with(|| buf.to_vec())[at..at + 6].copy_from_slice(&stand_in);
            }
        }
        self.0.write_at(offset, changed.as_deref().unwrap_or(buf))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

/// Which magic numbers can be in `len` bytes from `offset` on, and where in those.
fn places_in(offset: Bytes, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let offset = offset.get();
    PLACES.into_iter().filter_map(move |(place, which)| {
        let at = usize::try_from(place.checked_sub(offset)?).ok()?;
        (at.checked_add(6)? <= len).then_some((at, which))
    })
}

/// Whether a device has the header of an unfinished image.
pub fn is_unfinished(file: &File) -> bool {
    let mut start = [0; 6];
    file.read_exact_at(&mut start, 0).is_ok() && start == MAGICS[0].1
}

/// Removes the magic numbers.
///
/// # Errors
/// The system's.
pub fn begin(file: &File) -> io::Result<()> {
    exchange(file, |(magic, stand_in)| (magic, stand_in))
}

/// Puts the magic numbers into their places once the data of the header are complete and synced.
///
/// # Errors
/// The system's.
pub fn finish(file: &File) -> io::Result<()> {
    exchange(file, |(magic, stand_in)| (stand_in, magic))
}

fn exchange(file: &File, order: impl Fn(([u8; 6], [u8; 6])) -> ([u8; 6], [u8; 6])) -> io::Result<()> {
    for (place, which) in PLACES {
        let (from, to) = order(MAGICS[which]);
        let mut there = [0; 6];
        match file.read_exact_at(&mut there, place) {
            Ok(()) if there == from => file.write_all_at(&to, place)?,
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_one_when_it_is_finished() {
        let mut file = tempfile::tempfile().expect("a file");
        let mut header = vec![7; 0x9000];
        header[..6].copy_from_slice(&MAGICS[0].0);
        header[0x4000..0x4006].copy_from_slice(&MAGICS[1].0);
        // A chance match elsewhere stays.
        header[0x5000..0x5006].copy_from_slice(&MAGICS[1].0);
        for (from, to) in [(0, 0x4003), (0x4003, 0x9000), (0x4000, 0x9000)] {
            let mut storage = Unfinished(&mut file);
            storage
                .write_at(Bytes::new(from as u64), &header[from..to])
                .expect("space");
        }
        let stored = |file: &File, at| {
            let mut bytes = [0; 6];
            file.read_exact_at(&mut bytes, at).expect("data");
            bytes
        };
        assert!(is_unfinished(&file));
        assert_eq!(stored(&file, 0x4000), MAGICS[1].1);
        assert_eq!(stored(&file, 0x5000), MAGICS[1].0);
        let mut seen = vec![0; header.len()];
        Unfinished(&mut file).read_at(Bytes::ZERO, &mut seen).expect("data");
        assert!(seen == header);
        finish(&file).expect("space");
        file.read_exact_at(&mut seen, 0).expect("data");
        assert!(seen == header && !is_unfinished(&file));
        begin(&file).expect("space");
        assert!(is_unfinished(&file) && stored(&file, 0x4000) == MAGICS[1].1);
    }
}
