//! The screen: the framebuffer console with its keyboard, and a boot splash.

use crate::machine::{Machine, PASSPHRASE, images, volume};

/// `open sesame`, key by key.
const KEYS: &[&str] = &["o", "p", "e", "n", "spc", "s", "e", "s", "a", "m", "e", "ret"];

#[test]
fn a_passphrase_at_the_framebuffer_console_and_caps_lock() {
    let initramfs = images().join("screen.cpio");
    // Other programs write to the last one; the prompt is on all of them.
    let arguments = volume(1, "root", "luks") + "console=tty0 console=ttyS0 vga=791";
    let mut machine = Machine::start(&initramfs, 512, &["luks2.img"], None, &arguments, &["-device", "VGA"]);
    // The kind of framebuffer, and the contents of its console.
    machine.wait_for("framebuffer: 0 ").wait_for("console: ");
    machine
        .wait_for("SCREEN| ")
        .wait_for("Please unlock disk root (3 tries left):");
    machine.press(&["caps_lock"]);
    machine
        .wait_for("SCREEN| ")
        .wait_for("[Caps Lock is on] Please unlock disk root (3 tries left):");
    machine.press(&["caps_lock"]).press(KEYS);
    machine
        .wait_for("root is open.")
        .wait_for("root runs from /dev/mapper/root")
        .end();
}

#[test]
fn a_boot_splash_asks_and_shows() {
    let initramfs = images().join("plymouth.cpio");
    let arguments = volume(1, "root", "luks") + "splash plymouth.ignore-serial-consoles=no";
    let mut machine = Machine::from(&initramfs, 512, &["luks2.img"], None, &arguments);
    machine.wait_for("plymouth runs");
    // The splash has the console, so that the prompt is there as text alone.
    machine
        .wait_for("Please unlock disk root (3 tries left)")
        .type_in("wrong\n");
    machine
        .wait_for("Please unlock disk root (2 tries left)")
        .type_in(PASSPHRASE);
    machine.wait_for("root runs from /dev/mapper/root");
    assert!(!machine.end().contains("Disk root on /dev/vda"));
}
