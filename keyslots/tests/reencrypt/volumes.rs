//! Small volumes in each kind of reencryption, and what their data are by what their headers say.

use std::cell::RefCell;
use std::io;

use keyslots::Result;
use keyslots::cipher::SectorCipher;
use keyslots::hash::Hash;
use keyslots::kdf::{CostLimits, Kdf};
use keyslots::luks2::reencrypt::{
    self, Ciphers, Direction, Disks, Driver, Guard, Method, Mode, Next, Part, Proof, Start, VolumeKeys, ZoneLimits,
};
use keyslots::luks2::segment::Segment;
use keyslots::luks2::{CreateParams, DataPlacement, Digest, Header, NewKeyslot};
use keyslots::secret::{Passphrase, Secret, VolumeKey};
use keyslots::storage::{Memory, Storage};
use keyslots::units::Bytes;
use keyslots::wipe::Medium;

pub(super) const OLD: &[u8; 16] = b"the old key 0123";
pub(super) const NEW: &[u8; 16] = b"the new key 4567";
pub(super) const CIPHER: &str = "aes-cbc-essiv:sha256";
pub(super) const KIB: usize = 1024;
/// Both copies of a header.
pub(super) const COPIES: usize = 32 * KIB;
/// The area of one keyslot.
pub(super) const SLOT: usize = 64 * KIB;

pub(super) fn limits() -> CostLimits {
    CostLimits::default()
}

pub(super) fn key(bytes: &[u8]) -> VolumeKey {
    VolumeKey::new(Secret::copy_from(bytes).expect("a page"))
}

pub(super) fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Secret::copy_from(text.as_bytes()).expect("a page"))
}

/// Plaintext of which no two sectors are alike.
pub(super) fn plaintext(len: usize) -> Vec<u8> {
    let word = |at: usize| (at as u64 / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[at % 8];
    (0..len).map(word).collect()
}

/// A part of a disk that stands for a device of its own.
struct Window<'a, 'd> {
    disk: &'a RefCell<&'d mut (dyn Storage + 'd)>,
    start: u64,
    end: Option<u64>,
}

impl Storage for Window<'_, '_> {
    fn size(&mut self) -> io::Result<Bytes> {
        let size = self.disk.borrow_mut().size()?.get();
        Ok(Bytes::new(self.end.unwrap_or(size) - self.start))
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        self.disk
            .borrow_mut()
            .read_at(Bytes::new(self.start + offset.get()), buf)
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()> {
        assert!(
            self.end
                .is_none_or(|end| self.start + offset.get() + buf.len() as u64 <= end)
        );
        self.disk
            .borrow_mut()
            .write_at(Bytes::new(self.start + offset.get()), buf)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.borrow_mut().sync()
    }
}

/// Runs `run` with the first `split` bytes of the disk as one device, and the rest as another.
pub(super) fn on_two<R>(
    disk: &mut dyn Storage,
    split: usize,
    run: impl FnOnce(&mut dyn Storage, &mut dyn Storage) -> R,
) -> R {
    let shared = RefCell::new(disk);
    let split = split as u64;
    let (disk, end) = (&shared, Some(split));
    let mut first = Window { disk, start: 0, end };
    let mut second = Window {
        disk,
        start: split,
        end: None,
    };
    run(&mut first, &mut second)
}

/// Runs `run` with the disk as one device, or its first `split` bytes apart as that of the header.
pub(super) fn on_disks<R>(disk: &mut dyn Storage, split: usize, run: impl FnOnce(&mut Disks<'_>) -> R) -> R {
    match split {
        0 => run(&mut Disks::attached(disk)),
        split => on_two(disk, split, |header, data| run(&mut Disks::detached(header, data))),
    }
}

/// One kind of reencryption.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) mode: Mode,
    pub(super) direction: Direction,
    pub(super) guard: fn() -> Guard,
    pub(super) shift: Option<usize>,
    /// Bytes of the disk that are the header's own device.
    pub(super) split: usize,
    /// The size of the header.
    pub(super) header: usize,
    /// The offset of the data of the volume that the header is of.
    pub(super) offset: usize,
    pub(super) data: usize,
    /// The size of the data device.
    pub(super) device: usize,
    pub(super) same_key: bool,
}

pub(super) fn checksum() -> Guard {
    Guard::Checksum {
        hash: Hash::Sha256.into(),
        block: 512,
    }
}

impl Kind {
    pub(super) fn plaintext(&self) -> Vec<u8> {
        plaintext(self.data)
    }

    pub(super) fn keys(&self) -> VolumeKeys {
        let (old, new) = (self.mode != Mode::Encrypt, self.mode != Mode::Decrypt && !self.same_key);
        VolumeKeys {
            old: old.then(|| key(OLD)),
            new: new.then(|| key(NEW)),
        }
    }

    pub(super) fn start(&self) -> Start {
        Start {
            mode: self.mode,
            direction: self.direction,
            guard: (self.guard)(),
            block: Bytes::new(512),
            size: None,
            shift: self.shift.map(|shift| Bytes::new(shift as u64)),
            encryption: self.same_key.then(|| ("aes-cbc-plain64".to_owned(), 512)),
            digest_hash: Hash::Sha256,
            digest_iterations: 1000,
        }
    }

    /// The header of the volume with all its keyslots, in memory of its own.
    pub(super) fn header(&self) -> Vec<u8> {
        let data_key = key(if self.mode == Mode::Encrypt { NEW } else { OLD });
        let params = CreateParams {
            encryption: CIPHER.into(),
            sector_size: 512,
            uuid: Some("6e1a9a5e-54a5-4f7e-8f4e-1c5d4b3a2f10".into()),
            label: String::new(),
            subsystem: String::new(),
            metadata_size: None,
            keyslots_size: Some(Bytes::new((self.header - COPIES) as u64)),
            data: match self.offset {
                0 => DataPlacement::Detached,
                offset => DataPlacement::At(Bytes::new(offset as u64)),
            },
            digest_hash: Hash::Sha256,
            digest_iterations: 1000,
        };
        let mut disk = Memory::zeroed(self.header);
        let mut header = Header::create(&params, &data_key, &limits()).expect("good parameters");
        header.write_new(&mut disk, Medium::Other).expect("memory");
        let new = NewKeyslot {
            kdf: Kdf::Pbkdf2 {
                hash: Hash::Sha256,
                iterations: 1000,
            },
            af_hash: Hash::Sha256,
            encryption: CIPHER.parse().expect("a specification"),
            area_key_size: 16,
            priority: None,
        };
        let seal = |key: &VolumeKey| new.seal(key, &passphrase("pass"), &limits()).expect("memory");
        let (sealed, sealed_new) = (seal(&data_key), seal(&key(NEW)));
        let mut change = header.begin().expect("changeable");
        change.add_keyslot(None, &sealed, &data_key, &limits()).expect("room");
        if self.mode == Mode::Reencrypt && !self.same_key {
            let digest = Digest::new(&key(NEW), Hash::Sha256, 1000, &limits()).expect("memory");
            change.add_unbound_keyslot(None, &sealed_new, digest).expect("room");
        }
        change.commit(&mut disk, Medium::Other).expect("memory");
        disk.0
    }

    /// The disk before: the header is in its own place (the file's, where data move), the data are as they were.
    pub(super) fn before(&self) -> Vec<u8> {
        let mut disk = vec![0; self.split + self.device];
        let header = self.header();
        let moves_down = self.mode == Mode::Decrypt && self.shift.is_some();
        let at = if moves_down { self.split } else { 0 };
        disk[at..at + header.len()].copy_from_slice(&header);
        let mut data = self.plaintext();
        if self.mode != Mode::Encrypt {
            let spec = CIPHER.parse().expect("a specification");
            SectorCipher::new(&spec, OLD, 512, false)
                .expect("a key")
                .encrypt(0, &mut data)
                .expect("sectors");
        }
        let moves_up = self.mode == Mode::Encrypt && self.shift.is_some();
        let place = self.split + if moves_up { 0 } else { self.offset };
        disk[place..place + data.len()].copy_from_slice(&data);
        disk
    }

    /// Begins it.
    pub(super) fn begin(&self, disk: &mut dyn Storage) -> Result<()> {
        self.begin_with(disk, &self.start())
    }

    /// Begins it in another way.
    pub(super) fn begin_with(&self, disk: &mut dyn Storage, start: &Start) -> Result<()> {
        let begin = |header: &mut Header, disks: &mut Disks<'_>| {
            reencrypt::begin(header, disks, start, &self.keys(), &limits())
        };
        match (self.shift, self.mode) {
            (None, _) => on_disks(disk, self.split, |disks| {
                let mut header = Header::read(disks.header())?;
                begin(&mut header, disks)
            }),
            (Some(_), Mode::Encrypt) => on_two(disk, self.split, |file, device| {
                let mut header = Header::read(file)?;
                begin(&mut header, &mut Disks::detached(file, device))?;
                reencrypt::install(file, device)
            }),
            (Some(_), _) => on_two(disk, self.split, |file, device| {
                let mut header = reencrypt::export(&Header::read(device)?, device, file)?;
                begin(&mut header, &mut Disks::detached(file, device))
            }),
        }
    }

    /// Where the header is once it has begun: apart from the data but where they have made room for it.
    pub(super) fn split_of_begun(&self) -> usize {
        match (self.shift, self.mode) {
            (Some(_), Mode::Encrypt) => 0,
            _ => self.split,
        }
    }

    /// The disk when it has begun.
    pub(super) fn begun(&self) -> Vec<u8> {
        let mut disk = Memory(self.before());
        self.begin(&mut disk).expect("memory");
        match (self.shift, self.mode) {
            // The file is not needed any more.
            (Some(_), Mode::Encrypt) => disk.0.split_off(self.split),
            _ => disk.0,
        }
    }

    /// Continues it to its end, or for `zones` only.
    pub(super) fn run(&self, disk: &mut dyn Storage, zones: Option<usize>) -> Result<()> {
        on_disks(disk, self.split_of_begun(), |disks| {
            let mut header = Header::read(disks.header())?;
            continued(&mut header, disks, &self.keys(), zones, Bytes::kib(4))
        })
    }

    /// The data by what the header says, if it says so.
    pub(super) fn data(&self, header: &Header, data: &[u8]) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        let mut push = |segment: &Segment, key: &[u8]| {
            let start = segment.offset.to_usize()?;
            let len = segment
                .size
                .map_or(self.data - plain.len(), |size| size.to_usize().unwrap_or(0));
            let mut bytes = data.get(start..start + len.min(self.data - plain.len()))?.to_vec();
            if let Some(crypt) = segment.crypt() {
                let spec = crypt.encryption.parse().ok()?;
                let cipher = SectorCipher::new(&spec, key, crypt.sector_size as usize, false).ok()?;
                cipher.decrypt(crypt.iv_tweak, &mut bytes).ok()?;
            }
            plain.extend(bytes);
            Some(())
        };
        let new = if self.same_key { OLD } else { NEW };
        match header.reencryption().ok()?.running() {
            Some(found) => {
                for (part, segment) in &found.active {
                    push(segment, if *part == Part::Old { OLD } else { new })?;
                }
            }
            None => {
                let only = header.metadata().segments.get(&0)?;
                let is_new = self.same_key || header.verify_volume_key(&key(NEW), true, &limits()).is_ok();
                push(only, if is_new { new } else { OLD })?;
            }
        }
        Some(plain)
    }
}

/// Continues what the header on the disks says.
pub(super) fn continued(
    header: &mut Header,
    disks: &mut Disks<'_>,
    keys: &VolumeKeys,
    zones: Option<usize>,
    zone: Bytes,
) -> Result<()> {
    let verified = reencrypt::verify(header, keys, &limits())?;
    let ciphers = Ciphers::new(verified.reencryption(), keys)?;
    let mut driver = Driver::new(header, disks, verified, method(&ciphers, zone))?;
    let mut left = zones;
    while left != Some(0) {
        left = left.map(|left| left - 1);
        if driver.step(disks)? == Next::Done {
            return Ok(());
        }
    }
    driver.stop(disks)
}

pub(super) fn method(codec: &Ciphers, zone: Bytes) -> Method<'_> {
    Method {
        codec,
        zones: ZoneLimits {
            wanted: Some(zone),
            ..ZoneLimits::default()
        },
        medium: Medium::Other,
        verify: false,
        observer: &(),
    }
}

/// Brings what an interruption has left into a state in which the data can be used.
pub(super) fn rescue(header: &mut Header, disks: &mut Disks<'_>, keys: &VolumeKeys) -> Result<()> {
    match header.reencryption()?.running() {
        Some(found) if found.state == reencrypt::State::Crash => continued(header, disks, keys, Some(1), Bytes::kib(4)),
        Some(found) if found.state == reencrypt::State::Clean => Ok(()),
        Some(_) => {
            let verified = reencrypt::verify(header, keys, &limits())?;
            reencrypt::finish(header, disks, Proof::Verified(verified), Medium::Other)
        }
        None => Ok(()),
    }
}

pub(super) const IN_PLACE: Kind = Kind {
    name: "",
    mode: Mode::Reencrypt,
    direction: Direction::Forward,
    guard: checksum,
    shift: None,
    split: 0,
    header: COPIES + 2 * SLOT + 8 * KIB,
    offset: COPIES + 2 * SLOT + 8 * KIB,
    data: 14 * KIB,
    device: COPIES + 2 * SLOT + 8 * KIB + 14 * KIB,
    same_key: false,
};

pub(super) const DETACHED: Kind = Kind {
    split: COPIES + SLOT + 8 * KIB,
    header: COPIES + SLOT + 8 * KIB,
    offset: 0,
    data: 14 * KIB,
    device: 14 * KIB,
    ..IN_PLACE
};

const UP: usize = COPIES + SLOT + 4 * KIB;
const DOWN: usize = COPIES + SLOT + 8 * KIB;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "reencrypt, checksum",
        ..IN_PLACE
    },
    Kind {
        name: "reencrypt, journal",
        guard: || Guard::Journal,
        ..IN_PLACE
    },
    Kind {
        name: "reencrypt with the same key, backward",
        direction: Direction::Backward,
        same_key: true,
        ..IN_PLACE
    },
    Kind {
        name: "encrypt with a detached header",
        mode: Mode::Encrypt,
        ..DETACHED
    },
    Kind {
        name: "encrypt with a detached header, journal",
        mode: Mode::Encrypt,
        guard: || Guard::Journal,
        ..DETACHED
    },
    Kind {
        name: "decrypt with a detached header",
        mode: Mode::Decrypt,
        direction: Direction::Backward,
        ..DETACHED
    },
    Kind {
        name: "encrypt in place",
        mode: Mode::Encrypt,
        guard: || Guard::None,
        shift: Some(UP),
        split: UP,
        header: UP,
        offset: UP,
        data: 2 * UP + 8 * KIB,
        device: 4 * UP + 8 * KIB,
        ..IN_PLACE
    },
    Kind {
        name: "decrypt with header export, checksum",
        mode: Mode::Decrypt,
        shift: Some(DOWN),
        split: DOWN,
        header: DOWN,
        offset: DOWN,
        data: 2 * DOWN + 6 * KIB,
        device: 3 * DOWN + 6 * KIB,
        ..IN_PLACE
    },
    Kind {
        name: "decrypt with header export, journal",
        mode: Mode::Decrypt,
        guard: || Guard::Journal,
        shift: Some(DOWN),
        split: DOWN,
        header: DOWN,
        offset: DOWN,
        data: DOWN + 6 * KIB,
        device: 2 * DOWN + 6 * KIB,
        ..IN_PLACE
    },
];
