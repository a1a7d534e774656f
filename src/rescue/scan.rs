//! The search of a disk for traces of LUKS, from its first sector to its last, at the rate at which it can be read.
//!
//! A trace is the first sector of a header or of a copy of one. Headers start at a sector, wherever they are: in a
//! partition, in a file, in an image inside an image. A magic number alone proves nothing, and its absence neither: `wipefs`
//! removes it and leaves the rest. Two of four signs make a trace: the magic number, but for a few bits; the version; the
//! name of a hash; a UUID.
//!
//! What a hostile disk can have, a terabyte of traces, costs no memory: the first [`MOST_TRACES`] are kept.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;

use keyslots::hash::Hash;
use keyslots::luks2::format::{HEADER_SIZES, PRIMARY_MAGIC, SECONDARY_MAGIC, Which};
use keyslots::storage::{Memory, Storage};
use keyslots::units::Bytes;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::{Whence, lseek};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;
/// Bytes that are read where a chunk cannot be: a sector of any disk.
const PIECE: usize = 4096;
/// The unit in which headers start.
pub(super) const SECTOR: usize = 512;
/// Traces that are kept; others are only counted.
pub const MOST_TRACES: usize = 1000;
/// Unreadable ranges that are kept, and tried again.
const MOST_UNREADABLE: usize = 1000;
/// Bits of a magic number that may be wrong.
const MAGIC_BITS: u32 = 3;

/// A disk that can be searched.
pub trait Disk: Storage {
    /// The next offset, from this one on, that may hold anything but zeros.
    fn next_data(&mut self, offset: u64) -> u64 {
        offset
    }
}

impl Disk for Memory {}

impl Disk for File {
    fn next_data(&mut self, offset: u64) -> u64 {
        let Ok(at) = i64::try_from(offset) else { return offset };
        match lseek(self.as_fd(), at, Whence::SeekData) {
            Ok(next) => u64::try_from(next).unwrap_or(offset).max(offset),
            // Nothing but a hole up to the end.
            Err(nix::errno::Errno::ENXIO) => u64::MAX,
            Err(_) => offset,
        }
    }
}

/// What starts at a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceKind {
    /// A header of LUKS1.
    Luks1,
    /// The first copy of a header of LUKS2.
    Primary,
    /// The second copy, which says that a copy has this size.
    Secondary(u64),
    /// The JSON area of either copy.
    Json,
}

/// A sector that looks like the start of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Where it is.
    pub offset: u64,
    /// What starts there.
    pub kind: TraceKind,
}

/// What a search has found.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    /// The first traces, by their offsets.
    pub found: Vec<Trace>,
    /// How many there are beyond those.
    pub more: u64,
    /// What could not be read, and not at the second try either.
    pub unreadable: Vec<Range<u64>>,
    /// Whether there is more that could not be read.
    pub more_unreadable: bool,
    /// The end of what was searched.
    pub end: u64,
}

/// Searches a disk from `from` on, to `end` at the most. `progress` is told how far it is.
///
/// # Errors
/// The system's, where it does not report the size. A sector that cannot be read is no error.
pub fn search(disk: &mut dyn Disk, from: u64, end: u64, progress: &mut dyn FnMut(u64)) -> io::Result<Traces> {
    let size = disk.size()?.get().min(end);
    let mut traces = Traces {
        end: size,
        ..Traces::default()
    };
    let mut buffer = vec![0; CHUNK];
    let mut at = from - from % SECTOR as u64;
    let mut lost = false;
    while at < size {
        let data = disk.next_data(at);
        if data >= size {
            break;
        }
        // By whole chunks, so that the end of a hole cuts no sector.
        at = at.max(data - data % CHUNK as u64);
        let len = (size - at).min(CHUNK as u64) as usize;
        lost = match disk.read_at(Bytes::new(at), &mut buffer[..len]) {
            Ok(()) => {
                traces.look(&buffer[..len], at);
                false
            }
            Err(_) => !traces.read_pieces(disk, &mut buffer[..len], at, lost),
        };
        at += len as u64;
        progress(at.min(size));
    }
    traces.try_again(disk, &mut buffer);
    traces.found.sort_by_key(|trace| trace.offset);
    Ok(traces)
}

/// Tells the kernel that a file or device is read from end to end once.
pub fn expect_sequential(file: &File) {
    // Advice only.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
}

impl Traces {
    fn look(&mut self, bytes: &[u8], start: u64) {
        for (n, sector) in bytes.chunks(SECTOR).enumerate() {
            let Some(kind) = recognize(sector) else { continue };
            if self.found.len() < MOST_TRACES {
                let offset = start + (n * SECTOR) as u64;
                self.found.push(Trace { offset, kind });
            } else {
                self.more += 1;
            }
        }
    }

    /// Reads what can be read of a chunk. After one of which nothing could be (`lost`), one piece stands for all: a dead
    /// disk takes its time for each. Returns whether any was read.
    fn read_pieces(&mut self, disk: &mut dyn Disk, buffer: &mut [u8], start: u64, lost: bool) -> bool {
        let len = buffer.len() as u64;
        let mut any = false;
        for (n, piece) in buffer.chunks_mut(PIECE).enumerate() {
            let at = start + (n * PIECE) as u64;
            match disk.read_at(Bytes::new(at), piece) {
                Ok(()) => {
                    any = true;
                    self.look(piece, at);
                }
                Err(_) if n == 0 && lost => {
                    self.note(start..start + len);
                    return false;
                }
                Err(_) => self.note(at..at + piece.len() as u64),
            }
        }
        any
    }

    fn note(&mut self, range: Range<u64>) {
        let has_room = self.unreadable.len() < MOST_UNREADABLE;
        match self.unreadable.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if has_room => self.unreadable.push(range),
            _ => self.more_unreadable = true,
        }
    }

    /// Once more, now that the head of the disk is elsewhere and it has cooled down. Of a long range, what its start tells.
    fn try_again(&mut self, disk: &mut dyn Disk, buffer: &mut [u8]) {
        for range in std::mem::take(&mut self.unreadable) {
            let mut at = range.start;
            let mut failed = 0;
            while at < range.end {
                let len = (range.end - at).min(PIECE as u64) as usize;
                let read = failed < CHUNK / PIECE && disk.read_at(Bytes::new(at), &mut buffer[..len]).is_ok();
                if read {
                    failed = 0;
                    self.look(&buffer[..len], at);
                    at += len as u64;
                } else {
                    failed += 1;
                    let end = if failed < CHUNK / PIECE {
                        at + len as u64
                    } else {
                        range.end
                    };
                    self.note(at..end);
                    at = end;
                }
            }
        }
    }
}

/// What the first sector of a header or a copy is of.
fn recognize(sector: &[u8]) -> Option<TraceKind> {
    // Most sectors end here, and cost a few comparisons.
    let [a, b, c, d, e, f, v0, v1, ..] = *sector else {
        return None;
    };
    let bits = |magic: &[u8; 6]| -> u32 {
        let pairs = magic.iter().zip([a, b, c, d, e, f]);
        pairs.map(|(one, other)| (one ^ other).count_ones()).sum()
    };
    if a == b'{' && b == b'"' {
        let is_member = |name: &str| sector[2..].starts_with(name.as_bytes());
        let names = ["keyslots\":", "tokens\":", "segments\":", "digests\":", "config\":"];
        return names.into_iter().any(is_member).then_some(TraceKind::Json);
    }
    let versioned = v0 == 0 && matches!(v1, 1 | 2);
    let dashes = sector.get(176) == Some(&b'-') && sector.get(181) == Some(&b'-');
    // A magic number without a version or a UUID has lost too much to be of use.
    if !versioned && !dashes {
        return None;
    }
    if sector.len() < 264 {
        return None;
    }
    let (first, second) = (bits(&PRIMARY_MAGIC), bits(&SECONDARY_MAGIC));
    let has_magic = first.min(second) <= MAGIC_BITS;
    let has_hash = text(&sector[72..104]).is_some_and(|name| Hash::from_name(name).is_some());
    let has_uuid = dashes && text(&sector[168..208]).is_some_and(keyslots::uuid::is_uuid);
    if [has_magic, versioned, has_hash, has_uuid]
        .into_iter()
        .filter(|sign| *sign)
        .count()
        < 2
    {
        return None;
    }
    let field = |at: usize| -> u64 {
        sector[at..at + 8]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let sized = |at: usize| {
        HEADER_SIZES
            .iter()
            .map(|size| size.get())
            .find(|size| *size == field(at))
    };
    let is_luks1 = match (versioned, v1) {
        (true, 1) => true,
        (true, _) => false,
        // The mode of the cipher: LUKS2 has its label there.
        _ => text(&sector[40..72]).is_some_and(|mode| mode.contains('-')) && sized(8).is_none(),
    };
    if is_luks1 {
        return Some(TraceKind::Luks1);
    }
    let which = match (sized(256), field(256)) {
        (Some(_), _) => Which::Secondary,
        (None, 0) => Which::Primary,
        _ if second < first => Which::Secondary,
        _ => Which::Primary,
    };
    match which {
        Which::Primary => Some(TraceKind::Primary),
        Which::Secondary => sized(256).or_else(|| sized(8)).map(TraceKind::Secondary),
    }
}

/// The text of a field up to its NUL.
fn text(field: &[u8]) -> Option<&str> {
    let text = field.split(|byte| *byte == 0).next()?;
    (!text.is_empty())
        .then_some(text)
        .and_then(|text| std::str::from_utf8(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The start of a header: magic number, version, size, hash, UUID, offset.
    fn start(magic: &[u8], version: u8, offset: u64) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        sector[..6].copy_from_slice(magic);
        sector[7] = version;
        if version == 2 {
            sector[8..16].copy_from_slice(&0x4000_u64.to_be_bytes());
        } else {
            sector[8..11].copy_from_slice(b"aes");
            sector[40..51].copy_from_slice(b"xts-plain64");
        }
        sector[72..78].copy_from_slice(b"sha256");
        sector[168..204].copy_from_slice(b"11111111-2222-3333-4444-555555555555");
        if version == 2 {
            sector[256..264].copy_from_slice(&offset.to_be_bytes());
        }
        sector
    }

    /// A disk of zeros with a few sectors, some of which cannot be read at the first tries.
    struct Faulty {
        memory: Memory,
        /// Sectors of 4096 bytes, and how often reading them fails.
        bad: Vec<(u64, u32)>,
        reads: u64,
    }

    impl Storage for Faulty {
        fn size(&mut self) -> io::Result<Bytes> {
            self.memory.size()
        }

        fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
            self.reads += 1;
            let (from, to) = (offset.get(), offset.get() + buf.len() as u64);
            for (at, times) in &mut self.bad {
                if from < *at + 4096 && *at < to && *times > 0 {
                    *times -= 1;
                    return Err(io::Error::from_raw_os_error(5));
                }
            }
            self.memory.read_at(offset, buf)
        }

        fn write_at(&mut self, _: Bytes, _: &[u8]) -> io::Result<()> {
            unreachable!("a search writes nothing")
        }

        fn sync(&mut self) -> io::Result<()> {
            unreachable!("a search writes nothing")
        }
    }

    impl Disk for Faulty {}

    fn disk(size: usize, sectors: &[(usize, [u8; SECTOR])]) -> Memory {
        let mut memory = Memory::zeroed(size);
        for (at, sector) in sectors {
            memory.0[*at..*at + SECTOR].copy_from_slice(sector);
        }
        memory
    }

    fn found(disk: &mut dyn Disk, from: u64) -> Vec<(u64, TraceKind)> {
        let traces = search(disk, from, u64::MAX, &mut |_| ()).expect("memory");
        traces.found.iter().map(|trace| (trace.offset, trace.kind)).collect()
    }

    #[test]
    fn each_start_is_found_wherever_it_is() {
        let first = start(&PRIMARY_MAGIC, 2, 0);
        let second = start(&SECONDARY_MAGIC, 2, 0x4000);
        let old = start(&PRIMARY_MAGIC, 1, 0);
        // At the start, on both sides of the border of a chunk, and in the last sector.
        let size = 3 * CHUNK;
        let places = [
            0,
            CHUNK - SECTOR,
            CHUNK,
            2 * CHUNK - SECTOR,
            2 * CHUNK + SECTOR,
            size - SECTOR,
        ];
        for (sector, kind) in [
            (first, TraceKind::Primary),
            (second, TraceKind::Secondary(0x4000)),
            (old, TraceKind::Luks1),
        ] {
            let mut disk = disk(size, &places.map(|at| (at, sector)));
            let expected: Vec<_> = places.iter().map(|at| (*at as u64, kind)).collect();
            assert_eq!(found(&mut disk, 0), expected);
            assert_eq!(found(&mut disk, CHUNK as u64), expected[2..]);
            assert_eq!(found(&mut disk, 1), expected);
            assert_eq!(found(&mut disk, 1 << 60), []);
        }
    }

    #[test]
    fn two_signs_are_enough_and_one_is_not() {
        for version in [1, 2] {
            let sound = start(&PRIMARY_MAGIC, version, 0);
            let without = |ranges: &[Range<usize>]| {
                let mut sector = sound;
                for range in ranges {
                    sector[range.clone()].fill(0);
                }
                recognize(&sector).is_some()
            };
            let (magic, number, hash, uuid) = (0..6, 6..8, 72..104, 168..208);
            assert!(without(&[]) && without(std::slice::from_ref(&magic)) && without(std::slice::from_ref(&number)));
            assert!(without(&[magic.clone(), hash.clone()]) && without(&[magic.clone(), uuid.clone()]));
            assert!(without(&[magic.clone(), number.clone()]), "hash and UUID");
            assert!(without(&[hash.clone(), uuid.clone()]), "magic number and version");
            assert!(!without(&[magic.clone(), hash.clone(), uuid.clone()]));
            assert!(!without(&[magic.clone(), number.clone(), hash.clone()]));
            let mut flipped = sound;
            flipped[3] ^= 0x11;
            flipped[168..208].fill(0);
            assert!(recognize(&flipped).is_some());
        }
        let mut json = [0; SECTOR];
        json[..15].copy_from_slice(b"{\"keyslots\":{}}");
        assert_eq!(recognize(&json), Some(TraceKind::Json));
        assert_eq!(recognize(&[0; SECTOR]), None);
        assert_eq!(recognize(&[0xff; SECTOR]), None);
        // A disk that ends inside a sector.
        let first = start(&PRIMARY_MAGIC, 2, 0);
        for len in [0, 7, 8, 263] {
            assert_eq!(recognize(&first[..len]), None);
        }
    }

    #[test]
    fn noise_has_no_traces() {
        let mut memory = Memory::zeroed(CHUNK + 100);
        for chunk in memory.0.chunks_mut(65536) {
            let mut seed = chunk.as_ptr() as u64 | 1;
            for byte in chunk {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (seed >> 56) as u8;
            }
        }
        assert_eq!(found(&mut memory, 0), []);
    }

    #[test]
    fn what_cannot_be_read_is_tried_again_and_stops_nothing() {
        let first = start(&PRIMARY_MAGIC, 2, 0);
        let memory = disk(4 * CHUNK, &[(CHUNK + 4096, first), (2 * CHUNK, first)]);
        // The chunk, the piece, and the second try: one comes back, the other does not.
        let bad = vec![(CHUNK as u64 + 4096, 2), (CHUNK as u64 + 8192, u32::MAX)];
        let mut disk = Faulty { memory, bad, reads: 0 };
        let traces = search(&mut disk, 0, u64::MAX, &mut |_| ()).expect("a size");
        let offsets: Vec<_> = traces.found.iter().map(|trace| trace.offset).collect();
        assert_eq!(offsets, [CHUNK as u64 + 4096, 2 * CHUNK as u64]);
        assert_eq!(traces.unreadable, vec![CHUNK as u64 + 8192..CHUNK as u64 + 12288]);
    }

    #[test]
    fn a_dead_disk_is_given_up_in_time() {
        let memory = Memory::zeroed(64 * CHUNK);
        let bad = (0..64 * CHUNK as u64 / 4096).map(|n| (n * 4096, u32::MAX)).collect();
        let mut disk = Faulty { memory, bad, reads: 0 };
        let traces = search(&mut disk, 0, u64::MAX, &mut |_| ()).expect("a size");
        assert!(traces.unreadable.len() == 1 && traces.unreadable[0] == (0..64 * CHUNK as u64));
        assert!(disk.reads < 1000, "{}", disk.reads);
    }

    #[test]
    fn a_disk_full_of_traces_costs_no_memory() {
        let first = start(&PRIMARY_MAGIC, 2, 0);
        let all: Vec<_> = (0..CHUNK / SECTOR).map(|n| (n * SECTOR, first)).collect();
        let mut disk = disk(CHUNK, &all);
        let traces = search(&mut disk, 0, u64::MAX, &mut |_| ()).expect("memory");
        assert_eq!(traces.found.len(), MOST_TRACES);
        assert_eq!(traces.more, (CHUNK / SECTOR - MOST_TRACES) as u64);
        let different: BTreeSet<_> = traces.found.iter().map(|trace| trace.offset).collect();
        assert_eq!(different.len(), MOST_TRACES);
    }
}
