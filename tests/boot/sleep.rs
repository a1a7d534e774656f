//! A machine that hibernates to an encrypted swap area, and wakes up from it.

use std::fs;

use crate::machine::{Machine, PASSPHRASE, images, volume};

#[test]
#[ignore = "long: scripts/test --long"]
fn it_sleeps_in_an_encrypted_swap_area_and_wakes_up_from_it() {
    let initramfs = images().join("sleep.cpio");
    let folder = tempfile::tempdir_in(images()).expect("a folder");
    // Its contents outlive the first run.
    let swap = folder.path().join("swap.img").display().to_string();
    fs::copy(images().join("swap.img"), &swap).expect("copied");
    let arguments = volume(1, "root", "luks")
        + &volume(8, "swap", "luks,swap")
        + "root=/dev/mapper/root resume=/dev/mapper/swap sleep-once no_console_suspend";
    let start = || Machine::start(&initramfs, 512, &["luks2.img", &swap], None, &arguments, &[]);
    let unlock = |machine: &mut Machine| {
        // The device to resume from comes first.
        machine
            .wait_for("Please unlock disk swap (3 tries left): ")
            .type_in(PASSPHRASE);
        machine.wait_for("unlock ended with 0").wait_for("trying to wake up");
    };
    let mut machine = start();
    unlock(&mut machine);
    machine
        .wait_for("root runs from /dev/mapper/root")
        .wait_for("going to sleep: ")
        .wait_for("\n");
    let said = machine.end();
    let secret = said
        .split("going to sleep: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let secret = secret.expect("a word that is in its memory alone").trim().to_owned();
    assert!(!said.contains("awake again"), "{said}");
    drop(machine);
    let mut machine = start();
    unlock(&mut machine);
    machine.wait_for(&format!("awake again: {secret}"));
    assert!(!machine.end().contains("going to sleep"));
}
