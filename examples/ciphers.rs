//! Every cipher of the kernel against ours, both ways: `ciphers FILE DEVICE [full]`, where `DEVICE` is a loop device over
//! `FILE`. For each cipher, mode, IV generator, length of the key, sector size and way of counting that dm-crypt takes, it
//! writes through dm-crypt and reads through [`Volume`], and the other way round. The tests on a real kernel run it.
//!
//! Without `full`, not everything meets everything: all starts of the count and all ways to count meet only AES, half of the
//! sector sizes the other ciphers, and all lengths of a key, but for the longest, only two generators.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use keyslots::cipher::CipherSpec;
use keyslots::header::DataLayout;
use keyslots::secret::{Secret, VolumeKey};
use keyslots::units::Sectors;
use luksmith::dm::udev::NoUdev;
use luksmith::dm::{
    DeviceId, DeviceName, Dm, NewDevice, RemoveOptions, SuspendOptions, TableText, UdevMode, UdevPolicy,
};
use luksmith::userspace::{Access, Volume, VolumeOptions};

type Failure = Box<dyn Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

/// Bytes that each side writes: whole sectors of every size, and more than one of the largest.
const HALF: usize = 8 * 1024;
/// Sectors of a cell: what the kernel writes, and what we write.
const CELL: usize = 2 * HALF / 512;
/// Workers, each with a mapping and a part of the file of its own.
const WORKERS: u64 = 2;
/// Sectors of a worker's part of the file. Its first ones are left alone.
const PART: u64 = 4096;
const START: u64 = 8;

/// The lower 32 bits of the sector number, and all 64, wrap within the data.
const WRAPS_32: u64 = (1 << 32) - 8;
const IV_OFFSETS: [u64; 3] = [WRAPS_32, (1 << 63) - 8, u64::MAX - 7];

const SECTORS: [(u32, bool); 7] = [
    (512, false),
    (1024, false),
    (1024, true),
    (2048, false),
    (2048, true),
    (4096, false),
    (4096, true),
];
const MODES: [&str; 9] = ["xts", "cbc", "ecb", "lrw", "ctr", "pcbc", "cfb", "ofb", "adiantum"];
const HASHES: [&str; 9] = [
    "sha256",
    "sha1",
    "sha512",
    "sha3-256",
    "streebog256",
    "blake2b-256",
    "blake2b-160",
    "rmd160",
    "md5",
];
const GENERATORS: [&str; 10] = [
    "null",
    "plain",
    "plain64",
    "plain64be",
    "benbi",
    "eboiv",
    "elephant",
    "lmk",
    "tcw",
    "random",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (file, device, full) = match words[..] {
        [file, device] => (file, device, false),
        [file, device, "full"] => (file, device, true),
        _ => {
            eprintln!("usage: ciphers FILE DEVICE [full]");
            return ExitCode::FAILURE;
        }
    };
    match sweep(file, device, full) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What was found.
#[derive(Default)]
struct Found {
    /// Cells that are the same both ways, by cipher.
    same: BTreeMap<String, usize>,
    differing: Vec<String>,
    /// What the kernel can and we cannot.
    lacking: BTreeMap<String, usize>,
    refused: usize,
    /// What we can and the kernel cannot.
    ours_alone: BTreeSet<String>,
}

fn sweep(file: &str, device: &str, full: bool) -> Result<bool> {
    let start = Instant::now();
    let ciphers = ciphers()?;
    let units: Vec<(&str, &str)> = ciphers
        .iter()
        .flat_map(|cipher| MODES.map(|mode| (cipher.as_str(), mode)))
        .collect();
    let (queue, found) = (Mutex::new(units.into_iter()), Mutex::new(Found::default()));
    let work = |worker| -> Result<()> {
        let bench = Bench::prepare(file, device, worker)?;
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((cipher, mode)) = next else { break };
            bench.compare_all(cipher, mode, full, &found)?;
        }
        // Nobody has it open any more.
        let Bench { dm, id, mapped, .. } = bench;
        drop(mapped);
        dm.remove(&id, RemoveOptions::default())?;
        Ok(())
    };
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || work(worker))).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a worker has panicked".into())))
    })?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    for line in &found.differing {
        println!("FAIL {line}");
    }
    for (why, count) in &found.lacking {
        println!("LACKING {why}: {count} cells");
    }
    for (cipher, count) in &found.same {
        println!("{cipher}: {count} cells");
    }
    println!(
        "{} cells the same both ways, {} differ, {} that only the kernel can, {} refused by the kernel ({} specifications with \
         keys that ours takes), {} s",
        found.same.values().sum::<usize>(),
        found.differing.len(),
        found.lacking.values().sum::<usize>(),
        found.refused,
        found.ours_alone.len(),
        start.elapsed().as_secs()
    );
    if full {
        println!("{}", found.ours_alone.into_iter().collect::<Vec<_>>().join(" "));
    }
    Ok(found.differing.is_empty())
}

/// All single-block ciphers that the kernel has loaded, and what it makes of several.
fn ciphers() -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_to_string("/proc/crypto")?.split("\n\n") {
        let field = |wanted: &str| {
            entry.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                (name.trim() == wanted).then(|| value.trim().to_owned())
            })
        };
        if field("type").as_deref() == Some("cipher") {
            names.extend(field("name"));
        }
    }
    names.extend(["xchacha12,aes", "xchacha20,aes", "cipher_null"].map(str::to_owned));
    Ok(names.into_iter().collect())
}

fn generators(cipher: &str, mode: &str, full: bool) -> Vec<String> {
    if mode == "ecb" {
        // It takes none, and takes no notice of one.
        return vec![String::new(), "-plain64".into(), "-elephant".into()];
    }
    // A hash that is no key of the others' is tried with AES, one that is no key of AES with Serpent.
    let hashes = match cipher {
        _ if full => &HASHES[..],
        "aes" | "serpent" if mode == "cbc" => &HASHES[..],
        _ => &HASHES[..1],
    };
    let plain = GENERATORS.iter().map(|name| format!("-{name}"));
    plain
        .chain(hashes.iter().map(|hash| format!("-essiv:{hash}")))
        .collect()
}

/// One way to encrypt.
#[derive(Clone)]
struct Cell<'a> {
    spec: &'a str,
    key_len: usize,
    sector_size: u32,
    large: bool,
    iv_offset: u64,
}

impl Cell<'_> {
    fn key(&self) -> Vec<u8> {
        (0..self.key_len).map(|n| (17 * n + 3) as u8).collect()
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Same,
    Differs(&'static str),
}

/// A page-aligned buffer, as direct input and output want it.
#[repr(align(4096))]
struct Aligned([u8; HALF]);

/// A worker's mapping, and what it writes.
struct Bench {
    dm: Dm,
    id: DeviceId,
    file: File,
    device: String,
    /// Where its data start, in sectors.
    start: u64,
    mapped: File,
    theirs: Box<Aligned>,
    ours: Box<Aligned>,
}

impl Bench {
    fn prepare(file: &str, device: &str, worker: u64) -> Result<Self> {
        let mut dm = Dm::open()?;
        dm.set_udev_policy(UdevPolicy {
            mode: UdevMode::Off(NoUdev::NotWanted),
            ..dm.udev_policy()
        });
        let name = DeviceName::new(format!("ciphers-{worker}"))?;
        let errors = TableText::parse(format!("0 {CELL} error").as_bytes())?;
        let number = dm
            .create(&NewDevice::new(&name, None, &errors))?
            .info
            .number
            .to_string();
        let minor = number.rsplit(':').next().unwrap_or_default();
        // From fcntl.h: what is read is what dm-crypt gives now, not what some cache has.
        const O_DIRECT: i32 = 0o40000;
        let mut direct = OpenOptions::new();
        direct.read(true).write(true).custom_flags(O_DIRECT);
        let plain = |seed: usize| Box::new(Aligned(std::array::from_fn(|n| (7 * n + n / 256 + seed) as u8)));
        Ok(Self {
            dm,
            id: DeviceId::Name(name),
            file: OpenOptions::new().read(true).write(true).open(file)?,
            device: device.to_owned(),
            start: START + worker * PART,
            mapped: direct.open(format!("/dev/dm-{minor}"))?,
            theirs: plain(1),
            ours: plain(100),
        })
    }

    /// Everything with this cipher in this mode.
    fn compare_all(&self, cipher: &str, mode: &str, full: bool, found: &Mutex<Found>) -> Result<()> {
        let lengths = self.key_lengths(cipher, mode);
        if lengths.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        for generator in generators(cipher, mode, full) {
            let spec = format!("{cipher}-{mode}{generator}");
            for (n, key_len) in lengths.iter().rev().enumerate() {
                let longest = n == 0;
                if !(full || longest || matches!(&*generator, "" | "-plain64" | "-elephant")) {
                    continue;
                }
                let mut cells = Vec::new();
                for (sector_size, large) in SECTORS {
                    for iv_offset in IV_OFFSETS {
                        let aes = cipher == "aes" && longest;
                        let of_interest = aes || sector_size == 512 || longest && (sector_size == 4096) == large;
                        if full || of_interest && (aes || iv_offset == WRAPS_32) {
                            cells.push(Cell {
                                spec: &spec,
                                // The sector keys have a key of their own.
                                key_len: if generator == "-elephant" {
                                    2 * key_len
                                } else {
                                    *key_len
                                },
                                sector_size,
                                large,
                                iv_offset,
                            });
                        }
                    }
                }
                self.compare_group(&cells, cipher, found)?;
            }
        }
        println!(
            "{cipher}-{mode}, keys of {lengths:?} bytes: {} s",
            start.elapsed().as_secs()
        );
        Ok(())
    }

    /// The cells of one specification and key: at once where the kernel takes all of them, else one by one.
    fn compare_group(&self, cells: &[Cell<'_>], cipher: &str, found: &Mutex<Found>) -> Result<()> {
        let (Some(first), Some(volume)) = (cells.first(), cells.first().map(|cell| self.volume(cell, 0))) else {
            return Ok(());
        };
        let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.load(cells) {
            if let [_] = cells {
                lock().refused += 1;
                let spec: Option<CipherSpec> = first.spec.parse().ok();
                if spec.is_some_and(|spec| spec.check_key_len(first.key_len).is_ok()) {
                    lock().ours_alone.insert(first.spec.to_owned());
                }
            } else if self.load(&cells[..1]) {
                for cell in cells.chunks(1) {
                    self.compare_group(cell, cipher, found)?;
                }
            } else {
                self.compare_group(&cells[..1], cipher, found)?;
                lock().refused += cells.len() - 1;
            }
            return Ok(());
        }
        if let Err(error) = volume {
            *lock().lacking.entry(error.to_string()).or_default() += cells.len();
            return Ok(());
        }
        self.dm.resume(&self.id, SuspendOptions::default())?;
        for (n, cell) in cells.iter().enumerate() {
            let outcome = self.compare(cell, n)?;
            let mut found = lock();
            match outcome {
                Outcome::Same => *found.same.entry(cipher.to_owned()).or_default() += 1,
                Outcome::Differs(how) => found.differing.push(format!(
                    "{}, key of {} bytes, sectors of {}, large {}, IV offset {}: {how}",
                    cell.spec, cell.key_len, cell.sector_size, cell.large, cell.iv_offset
                )),
            }
        }
        Ok(())
    }

    /// The cell that is the `n`th of the mapping.
    fn compare(&self, cell: &Cell<'_>, n: usize) -> Result<Outcome> {
        let volume = self.volume(cell, n)?;
        let at = (2 * HALF * n) as u64;
        // The same bytes on both sides would hide that nothing is written.
        self.file.write_all_at(&[0xa5; 2 * HALF], self.start * 512 + at)?;
        self.mapped.write_all_at(&self.theirs.0, at)?;
        let mut read = vec![0; HALF];
        volume.read_at(0, &mut read)?;
        if read != self.theirs.0 {
            return Ok(Outcome::Differs("what the kernel wrote reads otherwise"));
        }
        // In the middle of a sector, so that this is read, changed and written too.
        let cut = 3003;
        volume.write_at((HALF + cut) as u64, &self.ours.0[cut..])?;
        volume.write_at(HALF as u64, &self.ours.0[..cut])?;
        let mut back = Aligned([0; HALF]);
        self.mapped.read_exact_at(&mut back.0, at + HALF as u64)?;
        if back.0 != self.ours.0 {
            return Ok(Outcome::Differs("what we wrote the kernel reads otherwise"));
        }
        Ok(Outcome::Same)
    }

    fn volume(&self, cell: &Cell<'_>, n: usize) -> Result<Volume> {
        let layout = DataLayout {
            cipher: keyslots::cipher::CipherName::new(cell.spec),
            sector_size: cell.sector_size,
            offset: Sectors::new(self.start + (CELL * n) as u64),
            size: Some(Sectors::new(CELL as u64)),
            iv_offset: Sectors::new(cell.iv_offset),
        };
        let options = VolumeOptions {
            iv_large_sectors: cell.large,
            ..VolumeOptions::new(Access::Write)
        };
        let key = VolumeKey::new(Secret::copy_from(&cell.key())?);
        Ok(Volume::new(self.file.try_clone()?, &layout, &key, options)?)
    }

    /// Whether the kernel takes a table of these, one after the other; it is loaded then.
    fn load(&self, cells: &[Cell<'_>]) -> bool {
        let table: String = (0..).zip(cells).map(|(n, cell)| self.line(cell, n)).collect();
        let table = TableText::parse(table.as_bytes());
        table.is_ok_and(|table| self.dm.load(&self.id, &table, false).is_ok())
    }

    fn line(&self, cell: &Cell<'_>, n: usize) -> String {
        let mut options = Vec::new();
        if cell.sector_size != 512 {
            options.push(format!("sector_size:{}", cell.sector_size));
        }
        if cell.large {
            options.push("iv_large_sectors".to_owned());
        }
        options.insert(0, options.len().to_string());
        let key = match &*cell.key() {
            [] => "-".to_owned(),
            key => key.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        format!(
            "{} {CELL} crypt {} {key} {} {} {} {}\n",
            CELL * n,
            cell.spec,
            cell.iv_offset,
            self.device,
            self.start + (CELL * n) as u64,
            options.join(" ")
        )
    }

    /// The lengths of a key that the kernel takes, in bytes: tried by loading a table with each that some cipher has.
    fn key_lengths(&self, cipher: &str, mode: &str) -> Vec<usize> {
        const LENGTHS: [usize; 15] = [0, 4, 5, 8, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 128];
        let spec = format!("{cipher}-{mode}{}", if mode == "ecb" { "" } else { "-plain" });
        let takes = |key_len: &usize| {
            self.load(&[Cell {
                spec: &spec,
                key_len: *key_len,
                sector_size: 512,
                large: false,
                iv_offset: 0,
            }])
        };
        LENGTHS.into_iter().filter(takes).collect()
    }
}
