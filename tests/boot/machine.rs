//! A machine in an emulator, and a person at its console.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The time limit for one step of a conversation: the emulation is slow, and the machine that runs it busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
pub(crate) const PASSPHRASE: &str = "open sesame\n";

/// The tested program.
pub(crate) fn program() -> OsString {
    std::env::var_os("TESTED_LUKSMITH").unwrap_or_else(|| env!("CARGO_BIN_EXE_luksmith").into())
}

/// Runs a script of `tests/boot` that builds the boot files, and returns their folder.
pub(crate) fn build(script: &str, folder: &str) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    // It takes all processors, too.
    let _alone = alone();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot").join(script);
    let built = Command::new(&script)
        .args([program(), out.clone().into_os_string()])
        .status();
    assert!(built.expect("it starts").success(), "{} failed", script.display());
    out
}

/// The images, built once.
pub(crate) fn images() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("build", "boot"))
}

/// One machine at a time, since each takes all processors.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine that runs; it is stopped on drop.
pub(crate) struct Machine {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
    /// How far the conversation has come in `seen`.
    read: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Machine {
    /// Starts one with our initramfs, this many MiB of memory, disks in their order, and kernel arguments. Changes to
    /// the disks are lost.
    pub(crate) fn boot(memory: u32, disks: &[&str], arguments: &str) -> Self {
        Self::with(memory, disks, None, arguments)
    }

    /// As [`Machine::boot`]; the disk `late` can be plugged in while it runs.
    pub(crate) fn with(memory: u32, disks: &[&str], late: Option<&str>, arguments: &str) -> Self {
        Self::from(&images().join("initramfs.cpio"), memory, disks, late, arguments)
    }

    /// As [`Machine::with`], with another initramfs.
    pub(crate) fn from(initramfs: &Path, memory: u32, disks: &[&str], late: Option<&str>, arguments: &str) -> Self {
        Self::start(initramfs, memory, disks, late, arguments, &[])
    }

    /// As [`Machine::from`], with more options for the emulator. A disk whose path is absolute keeps its changes.
    pub(crate) fn start(
        initramfs: &Path,
        memory: u32,
        disks: &[&str],
        late: Option<&str>,
        arguments: &str,
        more: &[&str],
    ) -> Self {
        let images = images();
        let alone = alone();
        let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.cache/kernel/vmlinuz");
        // Emulated on purpose: a guest under KVM hangs on the machines that this project is tested on.
        let mut command = Command::new("qemu-system-x86_64");
        command.args([
            "-accel",
            "tcg,thread=single",
            "-smp",
            "1",
            "-cpu",
            // As scripts/vm, which says why.
            "max,erms=off,fsrm=off,la57=off,smap=off,smep=off,pku=off",
            "-nodefaults",
            "-display",
            "none",
        ]);
        command.args(["-serial", "mon:stdio", "-no-reboot", "-device", "virtio-rng-pci"]);
        command.args(["-m", &memory.to_string()]);
        command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
        // no_timer_check: an emulated timer that is late on a busy machine is no reason to panic.
        let basis = "console=ttyS0 quiet loglevel=1 panic=-1 random.trust_cpu=on tsc=reliable no_timer_check mitigations=off init_on_alloc=0 apparmor=0 audit=0 nowatchdog nosoftlockup";
        command.args(["-append", &format!("{basis} {arguments}")]);
        for disk in disks {
            let image = images.join(disk);
            let snapshot = if Path::new(disk).is_absolute() { "off" } else { "on" };
            command.arg("-drive").arg(format!(
                "if=virtio,format=raw,snapshot={snapshot},file={}",
                image.display()
            ));
        }
        if let Some(late) = late {
            let image = images.join(late);
            command.arg("-drive").arg(format!(
                "if=none,id=late,format=raw,snapshot=on,file={}",
                image.display()
            ));
        }
        let mut child = command
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-x86_64 starts: run scripts/setup-tests");
        let (keyboard, mut output) = child.stdin.take().zip(child.stdout.take()).expect("both are pipes");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut piece) {
                if sender.send(piece[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            keyboard,
            screen,
            seen: String::new(),
            read: 0,
            _alone: alone,
        }
    }

    /// Waits until the screen shows the text, after the previously awaited one.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> &mut Self {
        self.wait_for_any(&[text])
    }

    /// Waits until the screen shows one of the texts, after the previously awaited one.
    #[track_caller]
    pub(crate) fn wait_for_any(&mut self, texts: &[&str]) -> &mut Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let unread = &self.seen[self.read..];
            if let Some(behind) = texts.iter().find_map(|text| Some(unread.find(text)? + text.len())) {
                self.read += behind;
                return self;
            }
            match self.screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(RecvTimeoutError::Timeout) => panic!("no {texts:?} within {PATIENCE:?}:\n{}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("it stopped without {texts:?}:\n{}", self.seen),
            }
        }
    }

    /// Types at the serial console.
    pub(crate) fn type_in(&mut self, text: &str) -> &mut Self {
        self.keyboard.write_all(text.as_bytes()).expect("the machine runs");
        self
    }

    /// Plugs the late disk in, through the emulator's monitor.
    pub(crate) fn plug_in(&mut self) -> &mut Self {
        self.type_in("\x01cdevice_add virtio-blk-pci,drive=late\n\x01c")
    }

    /// Presses keys of the keyboard at the screen, one after the other, through the emulator's monitor.
    pub(crate) fn press(&mut self, keys: &[&str]) -> &mut Self {
        for key in keys {
            self.type_in(&format!("\x01csendkey {key}\n\x01c"));
            std::thread::sleep(Duration::from_millis(300));
        }
        self
    }

    /// The machine's whole output, once it has switched itself off.
    #[track_caller]
    pub(crate) fn end(&mut self) -> &str {
        let end = Instant::now() + PATIENCE;
        while let Ok(piece) = self.screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
        assert!(Instant::now() < end, "it did not end:\n{}", self.seen);
        assert!(
            !self.seen.contains("open sesame"),
            "the passphrase was shown:\n{}",
            self.seen
        );
        &self.seen
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The UUID of an image: one repeated digit, except for the version and the variant.
pub(crate) fn uuid(digit: u32) -> String {
    let eight = digit * 11_111_111;
    format!("{eight}-{0}-4{1}-8{1}-{eight}{0}", eight / 10_000, eight / 100_000)
}

/// The kernel arguments that name a volume by its UUID, and give it options.
pub(crate) fn volume(digit: u32, name: &str, options: &str) -> String {
    let uuid = uuid(digit);
    format!("rd.luks.name={uuid}={name} rd.luks.options={uuid}={options} ")
}
