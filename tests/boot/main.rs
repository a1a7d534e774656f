//! Machines that boot from an encrypted root in an emulator, with a person at the serial console, whose typing unlocks them.
//!
//! Not part of a bare `cargo test` (`test = false` in Cargo.toml): `scripts/test` runs it, and so does `cargo test --test
//! boot`. `tests/boot/build` makes the boot files; `TESTED_LUKSMITH` names another program than the one that cargo has built.

mod generators;
mod machine;
mod screen;
mod sleep;

use std::path::Path;

use machine::{Machine, PASSPHRASE, images, volume};

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
    // It opens with the passphrase that opened the other one.
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
    let arguments = volume(1, "root", "luks,keyfile-timeout=600s") + &format!("rd.luks.key={UUID_1}=/key:LABEL=keys");
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
fn a_keyslot_that_does_not_fit_the_memory_is_reported() {
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
        .wait_for("No passphrase was given within 4 s")
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
    boot_from_lvm_on_luks(&images().join("lvm.cpio"), 512, "ROOT=/dev/mapper/vg-root");
}

/// Boots from a logical volume on LUKS, which `root` names.
fn boot_from_lvm_on_luks(initramfs: &Path, memory: u32, root: &str) {
    let arguments = volume(7, "pv", "luks") + root;
    let mut machine = Machine::from(initramfs, memory, &["lvm-on-luks.img"], None, &arguments);
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
