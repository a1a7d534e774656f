//! What a damaged copy was, found by its checksum: fields whose value is known, bytes that the other copy has, and single
//! bits that were flipped.
//!
//! Nothing here guesses: a copy is mended when its checksum is right again, and its metadata meet every rule. Only a cheap
//! search is exhaustive. Locks, devices and time are the caller's.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest as _, Sha256};

use super::copies::{Copy, read_one};
use super::format::{self, BINARY_HEADER_LEN, BINARY_HEADER_SIZE, BinaryHeader, HEADER_SIZES, Label, Which};
use super::metadata::Metadata;
use super::{json, validate};
use crate::hash::Hash;
use crate::storage::Memory;
use crate::units::Bytes;
use crate::uuid::random_uuid;

/// Bits of a checksum that may be wrong while the copy is still beyond doubt.
const CHECKSUM_BITS: u32 = 3;
/// Places where the copies differ, of which each combination is tried.
const MOST_RUNS: usize = 12;
/// Bytes that are hashed for all combinations.
const MOST_MERGED: u64 = 256 << 20;
/// Bytes that differ count as one place up to this distance.
const RUN_GAP: usize = 16;
/// From this size of a copy on, a flip is only hashed where the metadata can be parsed with it.
const LARGE: usize = 64 * 1024;
/// SHA-256 works on blocks of this size.
const BLOCK: usize = 64;

const CHECKSUM: Range<usize> = 448..512;
/// The fields that both copies have alike.
const COMMON: [Range<usize>; 2] = [8..104, 168..256];
/// Without a value that is known from elsewhere.
const SALT: Range<usize> = 104..168;
const PADDING: [Range<usize>; 2] = [264..448, 512..BINARY_HEADER_LEN];
/// Texts, each with NULs up to its end.
const TEXTS: [Range<usize>; 4] = [24..72, 72..104, 168..208, 208..256];

/// How a copy was mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Fields whose value is known.
    KnownFields,
    /// The checksum itself was damaged.
    Checksum,
    /// Bytes that the other copy, which is damaged elsewhere, still has.
    OtherCopy,
    /// This bit of this byte had been flipped.
    Flip {
        /// The byte, from the start of the copy.
        byte: usize,
        /// The bit, 0 for the lowest.
        bit: u8,
    },
}

/// A copy as it was before it was damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// The ranges that are not as they were found.
    pub changed: Vec<Range<usize>>,
    /// How they were found.
    pub how: How,
}

/// The bytes of a damaged copy, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Damaged<'a> {
    /// Binary header and JSON area as they are on the device; the length is the size of a copy.
    pub bytes: &'a [u8],
    /// Which copy it is.
    pub which: Which,
    /// The bytes of the other copy, where it has the same size. It may be damaged too.
    pub other: Option<&'a [u8]>,
}

impl Damaged<'_> {
    /// Finds what the copy was by what is known and by what the other copy has, in a moment. `stop` ends the search.
    pub fn mend(&self, stop: &(dyn Fn() -> bool + Sync)) -> Option<Mended> {
        let (known, tidy) = self.candidates()?;
        let candidates = [&known, &tidy];
        for bytes in candidates {
            if let Some(mended) = self.accept(bytes.clone(), How::KnownFields) {
                return Some(mended);
            }
        }
        for bytes in candidates {
            let mut bytes = bytes.clone();
            let right = digest_of(&bytes, hash_of(&bytes)?);
            let pairs = bytes[CHECKSUM].iter().zip(right);
            let off: u32 = pairs.map(|(is, right)| (is ^ right).count_ones()).sum();
            if off <= CHECKSUM_BITS {
                bytes[CHECKSUM].copy_from_slice(&right);
                if let Some(mended) = self.accept(bytes, How::Checksum) {
                    return Some(mended);
                }
            }
        }
        let other = self.other.filter(|other| other.len() == self.bytes.len())?;
        self.merge(&known, other, stop)
    }

    /// Finds the one bit that was flipped, beside what [`Damaged::mend`] restores. This takes up to a minute for a JSON area of
    /// 16 KiB that is full. `stop` ends the search.
    pub fn find_flip(&self, stop: &(dyn Fn() -> bool + Sync)) -> Option<Mended> {
        let (known, tidy) = self.candidates()?;
        let candidates = if tidy == known { vec![known] } else { vec![tidy, known] };
        candidates.into_iter().find_map(|mut bytes| {
            hash_of(&bytes).filter(|hash| *hash == Hash::Sha256)?;
            let (byte, bit) = find_flip(&bytes, stop)?;
            bytes[byte] ^= 1 << bit;
            self.accept(bytes, How::Flip { byte, bit })
        })
    }

    /// Whether its JSON area, or the other copy's, can have been one: it starts with an object.
    pub fn is_plausible(&self) -> bool {
        let starts = |bytes: &[u8]| {
            let start = bytes.get(BINARY_HEADER_LEN..BINARY_HEADER_LEN + 2);
            let bits = |start: &[u8]| -> u32 {
                start
                    .iter()
                    .zip(b"{\"")
                    .map(|(one, other)| (one ^ other).count_ones())
                    .sum()
            };
            start.is_some_and(|start| bits(start) <= CHECKSUM_BITS)
        };
        starts(self.bytes) || self.other.is_some_and(starts)
    }

    /// The copy with its known fields, and also without what is behind its texts.
    fn candidates(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let size = Bytes::new(self.bytes.len() as u64);
        if !HEADER_SIZES.contains(&size) {
            return None;
        }
        let known = self.with_known_fields();
        let tidy = tidied(&known);
        Some((known, tidy))
    }

    /// With every field set that has one value only.
    fn with_known_fields(&self) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        let size = bytes.len() as u64;
        let offset = match self.which {
            Which::Primary => 0,
            Which::Secondary => size,
        };
        bytes[..6].copy_from_slice(self.which.magic());
        bytes[6..8].copy_from_slice(&format::VERSION.to_be_bytes());
        bytes[8..16].copy_from_slice(&size.to_be_bytes());
        bytes[256..264].copy_from_slice(&offset.to_be_bytes());
        for range in PADDING {
            bytes[range].fill(0);
        }
        if hash_of(&bytes).is_none() {
            let name = Hash::Sha256.name().as_bytes();
            bytes[72..104].fill(0);
            bytes[72..72 + name.len()].copy_from_slice(name);
        }
        if let Some(hash) = hash_of(&bytes) {
            bytes[CHECKSUM][hash.output_len()..].fill(0);
        }
        bytes
    }

    /// The copy, if its checksum is right and it meets every rule.
    fn accept(&self, bytes: Vec<u8>, how: How) -> Option<Mended> {
        let hash = hash_of(&bytes)?;
        if bytes[CHECKSUM] != digest_of(&bytes, hash) || !is_valid(&bytes, self.which) {
            return None;
        }
        let changed = runs(self.bytes, &bytes, 0, |_| true);
        Some(Mended { bytes, changed, how })
    }

    /// Tries each combination of the places in which the copies differ and should not.
    fn merge(&self, known: &[u8], other: &[u8], stop: &(dyn Fn() -> bool + Sync)) -> Option<Mended> {
        let common = |at: usize| at >= BINARY_HEADER_LEN || COMMON.iter().any(|range| range.contains(&at));
        let places = runs(known, other, RUN_GAP, common);
        let work = (self.bytes.len() as u64) << places.len().min(MOST_RUNS + 1);
        if places.is_empty() || places.len() > MOST_RUNS || work > MOST_MERGED {
            return None;
        }
        for choice in 1_u32..1 << places.len() {
            if stop() {
                return None;
            }
            let mut bytes = known.to_vec();
            for (n, place) in places.iter().enumerate() {
                if choice & 1 << n != 0 {
                    for at in place.clone().filter(|at| common(*at)) {
                        bytes[at] = other[at];
                    }
                }
            }
            if let Some(mended) = self.accept(bytes, How::OtherCopy) {
                return Some(mended);
            }
        }
        None
    }
}

/// The header whose JSON area is all that is left of it: the text is whole and meets every rule, but no checksum is there to
/// prove it. Its label is lost; without a `uuid` it gets a new one.
pub fn rebuild(json_area: &[u8], uuid: Option<&str>) -> Option<Copy> {
    let end = json_area.iter().position(|byte| *byte == 0)?;
    let mut text = json_area[..end].to_vec();
    text.push(0);
    let metadata = Metadata::parse(json::parse_area(&text).ok()?).ok()?;
    let hdr_size = metadata.config.json_size.checked_add(BINARY_HEADER_SIZE)?;
    if !HEADER_SIZES.contains(&hdr_size) {
        return None;
    }
    validate::validate(&metadata, hdr_size).ok()?;
    let mut salt = [0; 64];
    getrandom::fill(&mut salt).ok()?;
    let binary = BinaryHeader {
        hdr_size,
        seqid: 1,
        label: Label::default(),
        checksum_hash: Hash::Sha256,
        salt,
        uuid: uuid.map_or_else(|| random_uuid().ok(), |uuid| Some(uuid.to_owned()))?,
        subsystem: Label::default(),
        hdr_offset: Bytes::ZERO,
    };
    Some(Copy { binary, metadata })
}

/// With NULs behind the NUL that ends each text.
fn tidied(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let json = BINARY_HEADER_LEN..bytes.len();
    for range in TEXTS.into_iter().chain([json]) {
        let field = &mut bytes[range];
        if let Some(end) = field.iter().position(|byte| *byte == 0) {
            field[end..].fill(0);
        }
    }
    bytes
}

/// The hash that the copy names.
fn hash_of(bytes: &[u8]) -> Option<Hash> {
    let name = bytes.get(72..104)?.split(|byte| *byte == 0).next()?;
    let hash = Hash::from_name(std::str::from_utf8(name).ok()?)?;
    (hash.output_len() <= CHECKSUM.len()).then_some(hash)
}

fn digest_of(bytes: &[u8], hash: Hash) -> [u8; 64] {
    let mut digest = [0; 64];
    let parts = [&bytes[..CHECKSUM.start], &[0; 64], &bytes[CHECKSUM.end..]];
    hash.digest(&parts, &mut digest[..hash.output_len()]);
    digest
}

/// Whether a reader of the device takes the copy.
fn is_valid(bytes: &[u8], which: Which) -> bool {
    let offset = match which {
        Which::Primary => 0,
        Which::Secondary => bytes.len(),
    };
    // Whether the device is large enough is not a matter of the bytes: room for the largest keyslots area, without using it.
    let mut memory = Memory(vec![0; offset]);
    memory.0.extend_from_slice(bytes);
    read_one(&mut Roomy(memory), Bytes::new(offset as u64)).is_ok()
}

/// A storage that claims to go on behind its end.
#[derive(Debug)]
struct Roomy(Memory);

impl crate::storage::Storage for Roomy {
    fn size(&mut self) -> std::io::Result<Bytes> {
        Ok(Bytes::mib(1 << 20))
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> std::io::Result<()> {
        let (start, there) = (offset.to_usize().unwrap_or(usize::MAX), self.0.0.len());
        buf.fill(0);
        if start < there {
            let len = buf.len().min(there - start);
            buf[..len].copy_from_slice(&self.0.0[start..start + len]);
        }
        Ok(())
    }

    fn write_at(&mut self, _: Bytes, _: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The ranges in which two copies differ, where `matters`; those closer than `gap` are one.
fn runs(one: &[u8], other: &[u8], gap: usize, matters: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in 0..one.len() {
        if one[at] == other[at] || !matters(at) {
            continue;
        }
        match found.last_mut() {
            Some(last) if at - last.end <= gap => last.end = at + 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}

/// Finds the one bit without which the checksum is right, on all processors. Each block of the hash is tried from the
/// state in front of it.
fn find_flip(bytes: &[u8], stop: &(dyn Fn() -> bool + Sync)) -> Option<(usize, u8)> {
    let mut blank = bytes.to_vec();
    blank[CHECKSUM].fill(0);
    let wanted = &bytes[CHECKSUM][..32];
    let text_end = bytes[BINARY_HEADER_LEN..].iter().rposition(|byte| *byte != 0)?;
    // A flip leaves JSON text, which has neither NULs nor other control characters but line ends.
    let text = &bytes[BINARY_HEADER_LEN..=BINARY_HEADER_LEN + text_end];
    if text
        .iter()
        .filter(|byte| **byte < b' ' && !matches!(byte, b'\n' | b'\t' | b'\r'))
        .count()
        > 1
    {
        return None;
    }
    // One more: the NUL that ends the text may be the byte that was hit.
    let json = BINARY_HEADER_LEN..(BINARY_HEADER_LEN + text_end + 2).min(bytes.len());
    let is_used =
        |at: usize| json.contains(&at) || SALT.contains(&at) || COMMON.iter().any(|range| range.contains(&at));
    let mut states = Vec::with_capacity(blank.len() / BLOCK);
    let mut state = Sha256::new();
    for block in blank.chunks(BLOCK) {
        states.push(state.clone());
        state.update(block);
    }
    let (next, done, found) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    let worker = || {
        loop {
            // The last ones first: they are the cheapest.
            let Some(block) = states.len().checked_sub(next.fetch_add(1, Ordering::Relaxed) + 1) else {
                return;
            };
            let start = block * BLOCK;
            for at in (start..start + BLOCK).filter(|at| is_used(*at)) {
                if done.load(Ordering::Relaxed) || stop() {
                    return;
                }
                for bit in 0..8 {
                    let mut flipped = [0; BLOCK];
                    flipped.copy_from_slice(&blank[start..start + BLOCK]);
                    flipped[at - start] ^= 1 << bit;
                    if blank.len() > LARGE && at >= BINARY_HEADER_LEN && !parses(&blank, at, bit) {
                        continue;
                    }
                    let mut state = states[block].clone();
                    state.update(flipped);
                    state.update(&blank[start + BLOCK..]);
                    if state.finalize()[..] == *wanted {
                        done.store(true, Ordering::Relaxed);
                        if let Ok(mut found) = found.lock() {
                            *found = Some((at, bit));
                        }
                        return;
                    }
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..threads {
            if thread::Builder::new().spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        worker();
    });
    found.into_inner().ok().flatten()
}

/// Whether the JSON text can be parsed once a bit of it is flipped.
fn parses(bytes: &[u8], at: usize, bit: u8) -> bool {
    let mut text = bytes[BINARY_HEADER_LEN..].to_vec();
    text[at - BINARY_HEADER_LEN] ^= 1 << bit;
    json::parse_area(&text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kdf::CostLimits;
    use crate::luks2::{CreateParams, DataPlacement, Header};
    use crate::secret::VolumeKey;
    use crate::storage::Storage as _;
    use crate::wipe::Medium;

    const SIZE: usize = 16 * 1024;

    fn never() -> bool {
        false
    }

    /// Both copies of a new header.
    fn copies() -> [Vec<u8>; 2] {
        let params = CreateParams {
            encryption: "aes-xts-plain64".into(),
            sector_size: 512,
            uuid: None,
            label: "disk".into(),
            subsystem: String::new(),
            metadata_size: None,
            keyslots_size: Some(Bytes::kib(512)),
            data: DataPlacement::At(Bytes::mib(1)),
            digest_hash: Hash::Sha256,
            digest_iterations: 1000,
        };
        let key = VolumeKey::random(64).expect("random bytes");
        let mut device = Memory::zeroed(2 << 20);
        let mut header = Header::create(&params, &key, &CostLimits::default()).expect("a header");
        header.write_new(&mut device, Medium::Other).expect("written");
        [0, SIZE].map(|at| {
            let mut bytes = vec![0; SIZE];
            device.read_at(Bytes::new(at as u64), &mut bytes).expect("memory");
            bytes
        })
    }

    fn mend(bytes: &[u8], which: Which, other: Option<&[u8]>) -> Option<Mended> {
        let damaged = Damaged { bytes, which, other };
        damaged.mend(&never).or_else(|| damaged.find_flip(&never))
    }

    #[test]
    fn fields_of_one_value_get_it_back() {
        let [first, second] = copies();
        for (which, copy) in [(Which::Primary, &first), (Which::Secondary, &second)] {
            let mut bytes = copy.clone();
            for range in [0..6, 6..8, 8..16, 256..264, 300..400, 600..4000, 480..512, 72..104] {
                bytes[range].fill(0xa5);
            }
            let end = bytes.len();
            bytes[end - 700..].fill(b'x');
            let mended = mend(&bytes, which, None).expect("mended");
            assert!(mended.bytes == *copy && mended.how == How::KnownFields);
            assert!(mended.changed.contains(&(600..4000)), "{:?}", mended.changed);
        }
    }

    #[test]
    fn a_bit_is_found_wherever_it_is() {
        let [first, second] = copies();
        for (at, bit) in [
            (16, 0),
            (30, 7),
            (104, 3),
            (167, 0),
            (170, 2),
            (450, 1),
            (4096, 0),
            (4200, 6),
            (4700, 5),
        ] {
            for (which, copy) in [(Which::Primary, &first), (Which::Secondary, &second)] {
                let mut bytes = copy.clone();
                bytes[at] ^= 1 << bit;
                let mended = mend(&bytes, which, None).unwrap_or_else(|| panic!("{at} {bit}"));
                assert!(mended.bytes == *copy);
                assert_eq!((mended.changed.len(), &mended.changed[0]), (1, &(at..at + 1)));
            }
        }
    }

    #[test]
    fn where_both_are_damaged_each_has_what_the_other_lost() {
        let [first, second] = copies();
        let (mut one, mut other) = (first.clone(), second.clone());
        one[4300..4420].fill(0);
        one[20] ^= 6;
        other[4100] ^= 3;
        other[4600..4610].fill(b' ');
        other[120] ^= 1;
        let mended = mend(&one, Which::Primary, Some(&other)).expect("mended");
        assert!(mended.bytes == first && mended.how == How::OtherCopy);
    }

    #[test]
    fn a_text_that_is_left_is_a_header_again() {
        let [first, _] = copies();
        let uuid = "11111111-2222-3333-4444-555555555555";
        let copy = rebuild(&first[4096..], Some(uuid)).expect("a header");
        let mut memory = Memory::zeroed(2 << 20);
        crate::luks2::copies::write(&mut memory, &copy).expect("written");
        let header = Header::read(&mut memory).expect("a header");
        assert!(header.binary().uuid == uuid && memory.0[4096..SIZE] == first[4096..]);
        assert!(rebuild(&first[4097..], None).is_none() && rebuild(&[0; 100], None).is_none());
        assert!(rebuild(&first[4096..4200], None).is_none());
    }

    #[test]
    fn what_cannot_be_known_is_not_guessed() {
        let [first, _] = copies();
        let mut bytes = first.clone();
        bytes[4300] ^= 1;
        bytes[4301] ^= 1;
        assert_eq!(mend(&bytes, Which::Primary, None), None);
        assert_eq!(mend(&first, Which::Secondary, None), None);
        assert_eq!(mend(&first[..4096], Which::Primary, None), None);
        assert_eq!(mend(&vec![0; SIZE], Which::Primary, Some(&vec![0; SIZE])), None);
        // Stopped at once.
        let mut bytes = first.clone();
        bytes[4300] ^= 1;
        let which = Which::Primary;
        let damaged = Damaged {
            bytes: &bytes,
            which,
            other: None,
        };
        assert_eq!(damaged.find_flip(&|| true), None);
    }
}
