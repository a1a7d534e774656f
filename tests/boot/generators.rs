//! Initramfs images of the generators, with our program as their cryptsetup and with our own hooks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::machine::{Machine, PASSPHRASE, build, images, program, uuid, volume};

/// The initramfs images of Debian's generators, built once.
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

/// With our own hook: the prompt is ours, and so is the behaviour after the last try.
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

/// A key file, and a header, on a second disk: the kernel's arguments name them, whatever crypttab says.
fn with_keys_on_another_disk(initramfs: &str) {
    let initramfs = generated(initramfs);
    let key = volume(1, "root", "luks") + &format!("rd.luks.key={}=/key:LABEL=keys {SOURCE}", uuid(1));
    let mut machine = Machine::from(&initramfs, 1024, &["keyfile.img", "keys.img"], None, &key);
    machine.wait_for("root runs from");
    assert!(!machine.end().contains("Please unlock"));
    drop(machine);
    let header = volume(4, "root", "luks,header=/header:LABEL=keys");
    let header = header + &format!("rd.luks.data={}=/dev/vda {SOURCE}", uuid(4));
    let mut machine = Machine::from(&initramfs, 1024, &["detached.img", "keys.img"], None, &header);
    machine.wait_for("Please unlock disk root").type_in(PASSPHRASE);
    machine.wait_for("root runs from").end();
}

#[test]
fn keys_and_headers_on_other_disks_in_initramfs_tools() {
    with_keys_on_another_disk("debian-hook.img");
}

#[test]
fn keys_and_headers_on_other_disks_in_dracut() {
    with_keys_on_another_disk("dracut-hook.img");
}

#[test]
fn logical_volumes_in_initramfs_tools() {
    crate::boot_from_lvm_on_luks(&generated("debian-hook.img"), 1024, "root=/dev/mapper/vg-root ro");
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

/// mkinitcpio is not available on Debian: our hook is built by its documented functions, and run as its /init runs it.
#[test]
fn our_own_hook_for_mkinitcpio() {
    let initramfs = images().join("mkinitcpio.cpio");
    let mut machine = Machine::from(&initramfs, 512, &["luks2.img"], None, "");
    machine
        .wait_for("Please unlock disk root (3 tries left): ")
        .type_in(PASSPHRASE);
    machine.wait_for("root is open.").wait_for("root runs from").end();
    drop(machine);
    let mut machine = Machine::from(
        &initramfs,
        512,
        &["luks2.img"],
        None,
        &volume(1, "root", "luks,tries=1"),
    );
    machine.wait_for("(the last try): ").type_in("wrong\n");
    machine.wait_for("the volumes are not unlocked; starting again in 30 seconds");
}
