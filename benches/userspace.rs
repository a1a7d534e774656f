//! The data path without the device-mapper, in two tables of ratios. `cargo bench --bench userspace [ciphers|fuse]`
//!
//! *ciphers*: what one core encrypts and decrypts in sectors of 4096 bytes, against `openssl speed` of the same cipher and mode.
//!
//! *fuse*: a served volume against a server of the same crate that only hands bytes through, to the same kind of file in memory
//! (`/dev/shm`), with the same threads and the same sizes of requests. Needs root, or fusermount3.
//!
//! Runs of the two sides take turns, and medians are compared, so that what else the machine does meets both; ciphers are
//! measured in the processor's time, as `openssl speed` does.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, INodeNo, InitFlags, KernelConfig, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyOpen, ReplyWrite, Request, Session, WriteFlags,
};
use keyslots::cipher::{CipherSpec, SectorCipher};

const ROUNDS: usize = 7;

fn main() {
    // cargo adds --bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [PASS, file, at] => pass(Path::new(file), Path::new(at)),
        ["ciphers"] => ciphers(),
        ["fuse"] => fuse(),
        _ => {
            ciphers();
            println!();
            fuse();
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

// Ciphers.

/// Ours, bits of its key, and what OpenSSL calls it, where it has it.
const CIPHERS: [(&str, usize, Option<&str>); 16] = [
    ("aes-xts-plain64", 512, Some("aes-256-xts")),
    ("aes-xts-plain64", 256, Some("aes-128-xts")),
    ("aes-cbc-essiv:sha256", 256, Some("aes-256-cbc")),
    ("aes-ctr-plain64", 256, Some("aes-256-ctr")),
    ("aes-lrw-benbi", 384, None),
    ("aes-cbc-elephant", 256, None),
    ("xchacha12,aes-adiantum-plain64", 256, None),
    ("xchacha20,aes-adiantum-plain64", 256, None),
    ("serpent-xts-plain64", 512, None),
    ("twofish-xts-plain64", 512, None),
    ("camellia-xts-plain64", 512, None),
    ("camellia-cbc-plain64", 256, Some("camellia-256-cbc")),
    ("aria-xts-plain64", 512, None),
    ("aria-cbc-plain64", 256, Some("aria-256-cbc")),
    ("sm4-cbc-plain64", 128, Some("sm4-cbc")),
    ("des3_ede-cbc-plain64", 192, Some("des-ede3-cbc")),
];
const SECTOR: usize = 4096;

fn ciphers() {
    println!("One core, sectors of {SECTOR} bytes, MB/s; medians of {ROUNDS} runs that take turns");
    println!(
        "{:32} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "cipher", "encrypt", "openssl", "decrypt", "openssl", "ratio", "ratio"
    );
    for (name, bits, peer) in CIPHERS {
        let spec: CipherSpec = name.parse().expect("a known cipher");
        let key: Vec<u8> = (0..bits / 8).map(|n| (17 * n + 3) as u8).collect();
        let cipher = SectorCipher::new(&spec, &key, SECTOR, false).expect("the key fits");
        let mut runs: [Vec<f64>; 4] = Default::default();
        for _ in 0..ROUNDS {
            runs[0].push(speed(|data| cipher.encrypt(0, data).expect("whole sectors")));
            runs[2].push(speed(|data| cipher.decrypt(0, data).expect("whole sectors")));
            if let Some(peer) = peer {
                runs[1].push(openssl(peer, false));
                runs[3].push(openssl(peer, true));
            }
        }
        let [encrypt, peer_encrypt, decrypt, peer_decrypt] =
            runs.map(|runs| if runs.is_empty() { f64::NAN } else { median(runs) });
        let text = |value: f64, digits| {
            if value.is_nan() {
                "-".into()
            } else {
                format!("{value:.digits$}")
            }
        };
        println!(
            "{:32} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
            format!("{name} {bits}"),
            text(encrypt, 0),
            text(peer_encrypt, 0),
            text(decrypt, 0),
            text(peer_decrypt, 0),
            text(encrypt / peer_encrypt, 2),
            text(decrypt / peer_decrypt, 2),
        );
    }
}

/// MB/s over data that stay in the cache, as those of `openssl speed` do.
fn speed(mut work: impl FnMut(&mut [u8])) -> f64 {
    let mut data = vec![0; 16 * SECTOR];
    let start = processor_seconds();
    let (mut done, mut took) = (0, 0.0);
    while took < 0.3 {
        for _ in 0..16 {
            work(black_box(&mut data));
            done += data.len();
        }
        took = processor_seconds() - start;
    }
    done as f64 / 1e6 / took
}

/// What this thread has had of the processor.
fn processor_seconds() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).expect("a thread has usage");
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

fn openssl(cipher: &str, decrypt: bool) -> f64 {
    let mut command = Command::new("openssl");
    command.args(["speed", "-mr", "-seconds", "1", "-bytes", "4096"]);
    if decrypt {
        command.arg("-decrypt");
    }
    let output = command
        .args(["-evp", cipher])
        .stderr(Stdio::null())
        .output()
        .expect("openssl starts");
    let text = String::from_utf8_lossy(&output.stdout);
    // +F:22:AES-256-XTS:1234567.89
    let line = text
        .lines()
        .find(|line| line.starts_with("+F:"))
        .unwrap_or_else(|| panic!("openssl: {text}"));
    let bytes: f64 = line
        .rsplit(':')
        .next()
        .and_then(|number| number.parse().ok())
        .expect("a number");
    bytes / 1e6
}

// FUSE.

const SIZE: usize = 256 << 20;
const BLOCK: usize = 1 << 20;
const SMALL: usize = 4096;
const PASS: &str = "hand-through";
const MAX_REQUEST: u32 = 1 << 20;

/// What is measured on a file.
type Job = (&'static str, fn(&Path) -> f64);

const JOBS: [Job; 5] = [
    ("sequential write, MB/s", write_all),
    ("sequential read, MB/s", read_all),
    ("random 4 KiB reads/s, one at a time", |path| random(path, 1, false)),
    ("random 4 KiB reads/s, 8 at a time", |path| random(path, 8, false)),
    ("random 4 KiB writes/s, 8 at a time", |path| random(path, 8, true)),
];

fn fuse() {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let (container, key, file, at) = (
        folder.path().join("container"),
        folder.path().join("key"),
        folder.path().join("file"),
        folder.path().join("handed-through"),
    );
    fs::write(&key, b"key").expect("space");
    let header = 16 << 20;
    File::create(&container)
        .and_then(|file| file.set_len((SIZE + header) as u64))
        .expect("space");
    File::create(&file)
        .and_then(|file| file.set_len(SIZE as u64))
        .expect("space");
    File::create(&at).expect("space");
    let program = std::env::var_os("LUKSMITH").map_or_else(|| env!("CARGO_BIN_EXE_luksmith").into(), PathBuf::from);
    let luksmith = |words: &[&str]| {
        let output = Command::new(&program).args(words).output().expect("luksmith starts");
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (container, key) = (container.to_string_lossy(), key.to_string_lossy());
    let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    let format = ["luksFormat", "-q", "--sector-size", "4096"];
    luksmith(&[&format[..], &cheap, &[&*container, &*key]].concat());
    let name = format!("bench-{}", std::process::id());
    let said = luksmith(&[
        "open",
        "--backend",
        "userspace",
        "--json",
        "--key-file",
        &key,
        &container,
        &name,
    ]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let served = PathBuf::from(find_path(&said).expect("a path"));

    let mut passing = Passing::start(&file, &at);
    println!(
        "A served volume (aes-xts-plain64, 512 bits, sectors of 4096) against handing through; medians of {ROUNDS}"
    );
    println!("{:38} {:>10} {:>10} {:>7}", "", "served", "through", "ratio");
    for (what, job) in JOBS {
        let mut runs: [Vec<f64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            runs[0].push(job(&served));
            runs[1].push(job(&at));
        }
        let [ours, through] = runs.map(median);
        println!("{what:38} {ours:>10.0} {through:>10.0} {:>7.2}", ours / through);
    }
    luksmith(&["close", &name]);
    passing.stop();
}

fn find_path(value: &serde_json::Value) -> Option<&str> {
    match value {
        serde_json::Value::Object(members) => match members.get("path") {
            Some(path) => path.as_str(),
            None => members.values().find_map(find_path),
        },
        _ => None,
    }
}

/// Forgets what the kernel has cached of the file.
fn forget(file: &File) {
    file.sync_all().expect("fsync");
    let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    nix::fcntl::posix_fadvise(file, 0, 0, advice).expect("advice");
}

fn write_all(path: &Path) -> f64 {
    let file = OpenOptions::new().write(true).open(path).expect("the file");
    let data: Vec<u8> = (0..BLOCK).map(|n| (n * 7) as u8).collect();
    let start = Instant::now();
    for at in (0..SIZE).step_by(BLOCK) {
        file.write_all_at(&data, at as u64).expect("space");
    }
    file.sync_all().expect("fsync");
    SIZE as f64 / 1e6 / start.elapsed().as_secs_f64()
}

fn read_all(path: &Path) -> f64 {
    let file = File::open(path).expect("the file");
    forget(&file);
    let mut data = vec![0; BLOCK];
    let start = Instant::now();
    for at in (0..SIZE).step_by(BLOCK) {
        file.read_exact_at(&mut data, at as u64).expect("data");
        black_box(&mut data);
    }
    SIZE as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// Around the cache, so that each one is a request.
fn random(path: &Path, threads: u64, write: bool) -> f64 {
    #[repr(align(4096))]
    struct Page([u8; SMALL]);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_DIRECT)
        .open(path)
        .expect("the file");
    let done = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (file, done) = (&file, &done);
            scope.spawn(move || {
                let mut page = Page([thread as u8; SMALL]);
                let mut random = thread.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                while start.elapsed() < Duration::from_millis(700) {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let at = random % (SIZE / SMALL) as u64 * SMALL as u64;
                    if write {
                        file.write_all_at(&page.0, at).expect("space");
                    } else {
                        file.read_exact_at(&mut page.0, at).expect("data");
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.into_inner() as f64 / start.elapsed().as_secs_f64()
}

/// A process that hands a file through.
struct Passing {
    at: PathBuf,
    server: Child,
}

impl Passing {
    fn start(file: &Path, at: &Path) -> Self {
        let own = std::env::current_exe().expect("a path");
        let server = Command::new(own).arg(PASS).args([file, at]).spawn().expect("a server");
        while fs::metadata(at).expect("the file").len() == 0 {
            thread::sleep(Duration::from_millis(10));
        }
        Self {
            at: at.to_owned(),
            server,
        }
    }

    fn stop(&mut self) {
        let unmounted = nix::mount::umount2(&self.at, nix::mount::MntFlags::UMOUNT_NOFOLLOW);
        if unmounted.is_err() {
            let _ = Command::new("fusermount3").arg("-u").arg(&self.at).status();
        }
        let _ = self.server.wait();
    }
}

/// One file that is another one.
#[derive(Debug)]
struct Through {
    file: File,
    size: u64,
}

fn pass(file: &Path, at: &Path) {
    // As the server that it is compared with: Linux shares the processor out between sessions, not processes.
    nix::unistd::setsid().expect("a process of its own");
    let file = OpenOptions::new().read(true).write(true).open(file).expect("the file");
    let size = file.metadata().expect("metadata").len();
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("hand-through".into()), MountOption::NoAtime];
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    config.n_threads = Some((processors + 1).min(8));
    config.clone_fd = true;
    Session::new(Through { file, size }, at, &config)
        .and_then(Session::run)
        .expect("a mount");
}

thread_local! {
    static BUFFER: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Filesystem for Through {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.set_max_write(MAX_REQUEST);
        if let Err(most) = config.set_max_readahead(MAX_REQUEST) {
            let _ = config.set_max_readahead(most);
        }
        let _ = config.set_max_background(64);
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        Ok(())
    }

    fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let attributes = FileAttr {
            ino: INodeNo::ROOT,
            size: self.size,
            blocks: self.size / 512,
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: FileType::RegularFile,
            perm: 0o600,
            nlink: 1,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        reply.attr(&Duration::from_secs(60), &attributes);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(buffer.len().max(size as usize), 0);
            match self.file.read_at(&mut buffer[..size as usize], offset) {
                Ok(len) => reply.data(&buffer[..len]),
                Err(_) => reply.error(fuser::Errno::EIO),
            }
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.file.write_at(data, offset) {
            Ok(len) => reply.written(len as u32),
            Err(_) => reply.error(fuser::Errno::EIO),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        match self.file.sync_data() {
            Ok(()) => reply.ok(),
            Err(_) => reply.error(fuser::Errno::EIO),
        }
    }
}
