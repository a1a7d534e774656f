//! Machines that boot from an encrypted root in an emulator, with a person at the serial console: what is typed there is what
//! unlocks them.
//!
//! Not part of a bare `cargo test` (`test = false` in Cargo.toml): `scripts/test` runs it, and so does `cargo test --test boot`.
//! `tests/boot/build` makes what is booted; `BOOT_LUKSMITH` names another program than the one that cargo has built.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What one step of a conversation may take: the emulation is slow, and the machine that runs it busy.
const PATIENCE: Duration = Duration::from_secs(240);
const PASSPHRASE: &str = "open sesame\n";

/// What is tested.
fn program() -> OsString {
    std::env::var_os("BOOT_LUKSMITH").unwrap_or_else(|| env!("CARGO_BIN_EXE_luksmith").into())
}

/// Runs a script of `tests/boot` that builds what is booted, and returns where that is.
fn build(script: &str, folder: &str) -> PathBuf {
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
fn images() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("build", "boot"))
}

/// One machine at a time, since each takes all processors.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine that runs; it is stopped on drop.
struct Machine {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
    /// Up to where the conversation has come in `seen`.
    read: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Machine {
    /// Starts one with our initramfs, so many MiB of memory, disks in their order, and kernel arguments. Changes to the
    /// disks are lost.
    fn boot(memory: u32, disks: &[&str], arguments: &str) -> Self {
        Self::with(memory, disks, None, arguments)
    }

    /// As [`Machine::boot`]; the disk `late` can be plugged in while it runs.
    fn with(memory: u32, disks: &[&str], late: Option<&str>, arguments: &str) -> Self {
        Self::from(&images().join("initramfs.cpio"), memory, disks, late, arguments)
    }

    /// As [`Machine::with`], with another initramfs.
    fn from(initramfs: &Path, memory: u32, disks: &[&str], late: Option<&str>, arguments: &str) -> Self {
        let images = images();
        let alone = alone();
        let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.cache/kernel/vmlinuz");
        // Emulated on purpose: a guest under KVM hangs on the machines that this project is tested on.
        let mut command = Command::new("qemu-system-x86_64");
        command.args([
            "-accel",
            "tcg,thread=multi",
            "-smp",
            "2",
            "-cpu",
            "max",
            "-nodefaults",
            "-display",
            "none",
        ]);
        command.args(["-serial", "mon:stdio", "-no-reboot", "-device", "virtio-rng-pci"]);
        command.args(["-m", &memory.to_string()]);
        command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
        let basis = "console=ttyS0 quiet loglevel=1 panic=-1 random.trust_cpu=on tsc=reliable mitigations=off nowatchdog nosoftlockup";
        command.args(["-append", &format!("{basis} {arguments}")]);
        for disk in disks {
            let image = images.join(disk);
            command
                .arg("-drive")
                .arg(format!("if=virtio,format=raw,snapshot=on,file={}", image.display()));
        }
        if let Some(late) = late {
            let image = images.join(late);
            command.arg("-drive").arg(format!(
                "if=none,id=late,format=raw,snapshot=on,file={}",
                image.display()
            ));
        }
        let mut child = command
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

    /// Waits until the screen shows the text, behind what was waited for before.
    #[track_caller]
    fn wait_for(&mut self, text: &str) -> &mut Self {
        self.wait_for_any(&[text])
    }

    /// Waits until the screen shows one of the texts, behind what was waited for before.
    #[track_caller]
    fn wait_for_any(&mut self, texts: &[&str]) -> &mut Self {
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
    fn type_in(&mut self, text: &str) -> &mut Self {
        self.keyboard.write_all(text.as_bytes()).expect("the machine runs");
        self
    }

    /// Plugs the late disk in, through the emulator's monitor.
    fn plug_in(&mut self) -> &mut Self {
        self.type_in("\x01cdevice_add virtio-blk-pci,drive=late\n\x01c")
    }

    /// All that the machine has said, once it has switched itself off.
    #[track_caller]
    fn end(&mut self) -> &str {
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

/// The UUID of an image: one digit, but for the version and the variant.
fn uuid(digit: u32) -> String {
    let eight = digit * 11_111_111;
    format!("{eight}-{0}-4{1}-8{1}-{eight}{0}", eight / 10_000, eight / 100_000)
}

/// The kernel arguments that name a volume by its UUID, and give it options.
fn volume(digit: u32, name: &str, options: &str) -> String {
    let uuid = uuid(digit);
    format!("rd.luks.name={uuid}={name} rd.luks.options={uuid}={options} ")
}

const UUID_1: &str = "11111111-1111-4111-8111-111111111111";

#[test]
fn luks2_root_by_a_passphrase_at_the_serial_console() {
    let mut machine = Machine::boot(512, &["luks2.img"], &volume(1, "root", "luks"));
    machine
        .wait_for("Disk root on /dev/vda: label machine, ")
        .wait_for(UUID_1);
    machine
        .wait_for("Please unlock disk root (3 tries left): ")
        .type_in(PASSPHRASE);
    machine
        .wait_for("Deriving the key")
        .wait_for("root is open.")
        .wait_for("unlock ended with 0");
    machine
        .wait_for("root runs from /dev/mapper/root")
        .wait_for("open are: root")
        .end();
}

#[test]
fn luks1_root_after_a_wrong_passphrase() {
    let mut machine = Machine::boot(512, &["luks1.img"], &volume(2, "root", "luks"));
    machine.wait_for("(3 tries left): ").type_in("wrong\n");
    machine.wait_for("No key available with this passphrase.");
    machine.wait_for("(2 tries left): ").type_in(PASSPHRASE);
    machine.wait_for("root runs from /dev/mapper/root").end();
}

#[test]
fn after_the_last_try_there_is_an_exit_code_and_no_shell() {
    let mut machine = Machine::boot(512, &["luks1.img"], &volume(2, "root", "luks,tries=2"));
    machine.wait_for("(2 tries left): ").type_in("wrong\n");
    machine.wait_for("(the last try): ").type_in("wrong again\n");
    machine.wait_for("unlock ended with 2");
    assert!(!machine.end().contains(" # "));
}

#[test]
fn two_disks_open_with_one_passphrase() {
    let arguments = volume(1, "root", "luks") + &volume(5, "data", "luks");
    let mut machine = Machine::boot(512, &["luks2.img", "data.img"], &arguments);
    machine
        .wait_for("The same passphrase is tried on data.")
        .wait_for("left): ")
        .type_in(PASSPHRASE);
    machine.wait_for("open are: data root").wait_for("open are: root");
    let said = machine.end();
    assert_eq!(said.matches("Please unlock").count(), 1, "{said}");
}

#[test]
fn a_disk_that_comes_after_ten_seconds_is_waited_for() {
    let arguments = volume(1, "root", "luks") + &volume(5, "data", "luks");
    let mut machine = Machine::with(512, &["data.img"], Some("luks2.img"), &arguments);
    machine
        .wait_for("Please unlock disk data (3 tries left): ")
        .type_in(PASSPHRASE);
    machine
        .wait_for("data is open.")
        .wait_for("Waiting for root")
        .wait_for_any(&[" 10 s", " 11 s", " 12 s", " 13 s", " 14 s", " 15 s"])
        .plug_in();
    // It opens with the passphrase that has opened the other one.
    machine
        .wait_for("root is open.")
        .wait_for("root runs from /dev/mapper/root");
    let said = machine.end();
    assert_eq!(said.matches("Please unlock").count(), 1, "{said}");
}

#[test]
fn a_key_file_on_a_second_disk_unlocks_without_a_question() {
    let arguments = volume(1, "root", "luks") + &format!("rd.luks.key={UUID_1}=/key:LABEL=keys");
    let mut machine = Machine::boot(512, &["keyfile.img", "keys.img"], &arguments);
    machine.wait_for("root runs from /dev/mapper/root");
    assert!(!machine.end().contains("Please unlock"));
}

#[test]
fn a_key_device_that_comes_late_is_waited_for() {
    let arguments = volume(1, "root", "luks,keyfile-timeout=60s") + &format!("rd.luks.key={UUID_1}=/key:LABEL=keys");
    let mut machine = Machine::with(512, &["keyfile.img"], Some("keys.img"), &arguments);
    machine
        .wait_for("Waiting for the key of root (/key on LABEL=keys)")
        .plug_in();
    machine.wait_for("root runs from /dev/mapper/root");
    assert!(!machine.end().contains("Please unlock"));
}

#[test]
fn a_key_device_that_never_comes_makes_way_for_the_keyboard() {
    let arguments = volume(1, "root", "luks,keyfile-timeout=3s") + &format!("rd.luks.key={UUID_1}=/key:LABEL=keys");
    let mut machine = Machine::boot(512, &["keyfile.img"], &arguments);
    machine.wait_for("/key on LABEL=keys is not there; a passphrase will do.");
    machine
        .wait_for("left): ")
        .type_in(PASSPHRASE)
        .wait_for("root runs from /dev/mapper/root")
        .end();
}

#[test]
fn a_detached_header_on_a_second_disk() {
    let uuid = "44444444-4444-4444-8444-444444444444";
    let arguments = volume(4, "root", "luks,header=/header:LABEL=keys") + &format!("rd.luks.data={uuid}=/dev/vda");
    let mut machine = Machine::boot(512, &["detached.img", "keys.img"], &arguments);
    machine
        .wait_for("left): ")
        .type_in(PASSPHRASE)
        .wait_for("root runs from /dev/mapper/root")
        .end();
}

#[test]
fn a_keyslot_that_does_not_fit_the_memory_is_said_to_be_so() {
    let mut machine = Machine::boot(512, &["large.img"], &volume(3, "root", "luks"));
    machine
        .wait_for("1073741824 bytes are needed")
        .wait_for("unlock ended with 3")
        .end();
}

#[test]
fn what_may_fail_holds_nothing_up_and_what_takes_too_long_is_given_up() {
    let arguments = volume(1, "root", "luks,timeout=4") + &volume(6, "missing", "luks,nofail");
    let mut machine = Machine::boot(512, &["luks2.img"], &arguments);
    machine
        .wait_for("Please unlock disk root")
        .wait_for("missing is not open (nofail)");
    machine
        .wait_for("Nobody has given a passphrase within 4 s")
        .wait_for("unlock ended with 1")
        .end();
    // One machine at a time.
    drop(machine);
    let arguments = volume(1, "root", "luks,timeout=200") + &volume(6, "missing", "luks,nofail");
    let mut machine = Machine::boot(512, &["luks2.img"], &arguments);
    machine
        .wait_for("left): ")
        .type_in(PASSPHRASE)
        .wait_for("missing is not open (nofail)");
    machine
        .wait_for("unlock ended with 0")
        .wait_for("root runs from /dev/mapper/root")
        .end();
}

#[test]
fn luks_on_a_logical_volume() {
    let initramfs = images().join("lvm.cpio");
    let mut machine = Machine::from(&initramfs, 512, &["luks-on-lvm.img"], None, &volume(1, "root", "luks"));
    machine.wait_for("Please unlock disk root").type_in(PASSPHRASE);
    machine
        .wait_for("root runs from /dev/mapper/root")
        .wait_for("open are: root vg-root")
        .end();
}

#[test]
fn a_logical_volume_on_luks() {
    let initramfs = images().join("lvm.cpio");
    let arguments = volume(7, "pv", "luks") + "ROOT=/dev/mapper/vg-root";
    let mut machine = Machine::from(&initramfs, 512, &["lvm-on-luks.img"], None, &arguments);
    machine.wait_for("Please unlock disk pv").type_in(PASSPHRASE);
    machine
        .wait_for("root runs from /dev/mapper/vg-root")
        .wait_for("open are: pv vg-root")
        .end();
}

#[test]
fn another_shell_answers_while_the_console_waits() {
    let initramfs = images().join("answer.cpio");
    let mut machine = Machine::from(&initramfs, 512, &["luks2.img"], None, &volume(1, "root", "luks"));
    machine.wait_for("Please unlock disk root").wait_for("root is open.");
    machine.wait_for("root runs from /dev/mapper/root");
    assert!(machine.end().contains("answer ended with 0"));
}

/// The initial file systems of Debian's generators, built once.
fn generated(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("build-generators", "generated")).join(name)
}

const SOURCE: &str = "root=/dev/mapper/root ro";

#[test]
fn initramfs_tools_with_our_program_as_cryptsetup() {
    for (disk, digit) in [("luks2.img", 1), ("luks1.img", 2)] {
        let arguments = format!("{SOURCE} cryptopts=target=root,source=UUID={}", uuid(digit));
        let mut machine = Machine::from(&generated("debian-drop-in.img"), 1024, &[disk], None, &arguments);
        machine.wait_for("Please unlock disk root: ").type_in("wrong\n");
        machine.wait_for("Please unlock disk root: ").type_in(PASSPHRASE);
        machine
            .wait_for("root: set up successfully")
            .wait_for("root runs from /dev/mapper/root")
            .end();
    }
}

#[test]
fn dracut_with_our_program_as_cryptsetup() {
    for (disk, digit) in [("luks2.img", 1), ("luks1.img", 2)] {
        let uuid = uuid(digit);
        let arguments = format!("{SOURCE} rd.luks.name={uuid}=root rd.luks.uuid={uuid}");
        let mut machine = Machine::from(&generated("dracut-drop-in.img"), 1024, &[disk], None, &arguments);
        machine.wait_for("assphrase").type_in(PASSPHRASE);
        machine.wait_for("root runs from").end();
    }
}

/// With our own hook: the question is ours, and so is what comes after the last try.
fn with_our_hook(initramfs: &str) {
    let initramfs = generated(initramfs);
    let mut machine = Machine::from(&initramfs, 1024, &["luks2.img"], None, SOURCE);
    machine
        .wait_for("Please unlock disk root (3 tries left): ")
        .type_in("wrong\n");
    machine.wait_for("(2 tries left): ").type_in(PASSPHRASE);
    machine.wait_for("root is open.").wait_for("root runs from").end();
}

#[test]
fn initramfs_tools_with_our_own_hook() {
    with_our_hook("debian-hook.img");
}

#[test]
fn dracut_with_our_own_hook() {
    with_our_hook("dracut-hook.img");
}

#[test]
fn systemds_own_program_answers_the_question_in_its_folder() {
    generated("debian-hook.img");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot/agent");
    let output = Command::new(script).arg(program()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("Message=Please unlock disk root (3 tries left):"),
        "{said}"
    );
}
