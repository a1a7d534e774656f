//! What the initramfs that boots is packed in, which one it is, and what a hostile system may cost.

use super::*;

/// An archive of cpio(5), format newc.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files.iter().chain([&("TRAILER!!!", "")]) {
        let sizes = (content.len(), name.len() + 1);
        let zeros = "00000000";
        let header = format!(
            "070701{zeros}000081a4{}{:08x}{}{:08x}{zeros}",
            zeros.repeat(4),
            sizes.0,
            zeros.repeat(4),
            sizes.1
        );
        bytes.extend(header.bytes().chain(name.bytes()).chain([0]));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content.bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// An initramfs with this crypttab, not packed.
fn image(crypttab: &str) -> Vec<u8> {
    archive(&[
        ("usr/sbin/luksmith", ""),
        ("etc/us.kmap", ""),
        ("usr/lib/modules/0/kernel/drivers/md/dm-crypt.ko", ""),
        ("usr/lib/modules/0/kernel/crypto/aes_generic.ko", ""),
        ("usr/lib/modules/0/kernel/crypto/xts.ko", ""),
        ("etc/crypttab", crypttab),
    ])
}

fn packed(program: &[&str], bytes: &[u8]) -> Vec<u8> {
    let (input, output) = (
        tempfile::tempfile().expect("a file"),
        tempfile::tempfile().expect("a file"),
    );
    std::os::unix::fs::FileExt::write_all_at(&input, bytes, 0).expect("written");
    let status = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::from(input))
        .stdout(output.try_clone().expect("a descriptor"))
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{program:?}: run scripts/setup-tests"
    );
    let mut packed = vec![0; output.metadata().expect("its size").len() as usize];
    std::os::unix::fs::FileExt::read_exact_at(&output, &mut packed, 0).expect("read");
    packed
}

/// A unified kernel image: a PE file with these sections.
fn unified(sections: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = b"MZ".to_vec();
    bytes.resize(0x3c, 0);
    bytes.extend(0x80_u32.to_le_bytes());
    bytes.resize(0x80, 0);
    bytes.extend(b"PE\0\0\x64\x86");
    bytes.extend((sections.len() as u16).to_le_bytes());
    bytes.resize(0x80 + 24, 0);
    let mut at = 0x1000;
    for (name, content) in sections {
        let mut header = name.to_vec();
        header.resize(8, 0);
        let padded = content.len().next_multiple_of(512) as u32;
        for field in [content.len() as u32, 0, padded, at] {
            header.extend(field.to_le_bytes());
        }
        header.resize(40, 0);
        bytes.extend(header);
        at += padded;
    }
    bytes.resize(0x1000, 0);
    for (_, content) in sections {
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

#[test]
fn images_are_read_however_they_are_packed() {
    let system = System::healthy();
    let early = archive(&[("kernel/x86/microcode/GenuineIntel.bin", "microcode")]);
    let good = format!("root {} none luks\n", system.text("root.img"));
    let programs: [&[&str]; 8] = [
        &["cat"],
        &["gzip", "-c"],
        &["xz", "--check=crc32", "-c"],
        &["zstd", "-qc"],
        &["lz4", "-lc"],
        &["lz4", "-c"],
        &["bzip2", "-c"],
        &["xz", "--format=lzma", "-c"],
    ];
    let look = |bytes: &[u8]| {
        fs::remove_dir_all(system.path("initramfs"))
            .or_else(|_| fs::remove_file(system.path("initramfs")))
            .expect("removed");
        fs::write(system.path("initramfs"), bytes).expect("written");
        system.doctor(&[])
    };
    for program in programs {
        for (crypttab, text) in [
            (good.as_str(), "Nothing stands in the way"),
            ("", "the crypttab in the initramfs is empty"),
        ] {
            let main = packed(program, &image(crypttab));
            let (_, said) = look(&[early.clone(), main.clone()].concat());
            assert!(said.contains(text), "{program:?}: {said}");
            let inside = [early.clone(), main].concat();
            let (_, said) = look(&unified(&[
                (b".linux", b"kernel"),
                (b".initrd", &inside),
                (b".sbat", b"x"),
            ]));
            assert!(said.contains(text), "{program:?}, unified: {said}");
        }
    }
    for bytes in [
        &b"\x28\xb5\x2f\xfd not really"[..],
        b"nothing",
        b"",
        &image(&good)[..300],
    ] {
        let (code, said) = look(bytes);
        assert!(
            code == Some(1) && said.contains("cannot tell what the initramfs holds"),
            "{said}"
        );
    }
}

/// A case, the files of its boot loader, the version that boots, and the loader that is reported.
type Boots<'a> = (&'a str, &'a [(&'a str, String)], &'a str, &'a str);

/// The image that boots has an empty crypttab, and the others do not.
#[test]
fn the_image_that_boots_is_the_one_that_is_read() {
    let entry = |title: &str, image: &str| {
        format!(
            "menuentry '{title}' --id {title} {{\n  linux /boot/vmlinuz root=/dev/mapper/root\n  initrd {image}\n}}\n"
        )
    };
    let grub = |default: &str| {
        format!(
            "set default=\"{default}\"\n{}{}",
            entry("one", "/boot/initrd.img-6.9"),
            entry("two", "/boot/initrd.img-6.10")
        )
    };
    let loader = |image: &str| format!("title x\nlinux /vmlinuz\ninitrd /{image}\noptions root=/dev/mapper/root\n");
    let cases: &[Boots] = &[
        ("GRUB's first", &[("boot/grub/grub.cfg", grub("0"))], "6.9", "GRUB, the default \"one\""),
        ("GRUB's by ID", &[("boot/grub/grub.cfg", grub("two"))], "6.10", "GRUB, the default \"two\""),
        (
            "GRUB's saved",
            &[("boot/grub/grub.cfg", grub("${saved_entry}")), ("boot/grub/grubenv", "saved_entry=two\n".into())],
            "6.10",
            "GRUB, the default \"two\"",
        ),
        (
            "GRUB with entries of the Boot Loader Specification",
            &[
                ("boot/grub2/grub.cfg", "insmod blscfg\nblscfg\n".into()),
                ("boot/loader/entries/x-6.9.conf", loader("initrd.img-6.9")),
                ("boot/loader/entries/x-6.10.conf", loader("initrd.img-6.10")),
            ],
            "6.10",
            "the entry x-6.10",
        ),
        (
            "systemd-boot",
            &[
                ("boot/loader/loader.conf", "timeout 3\ndefault x-6.9*\n".into()),
                ("boot/loader/entries/x-6.9.conf", loader("initrd.img-6.9")),
                ("boot/loader/entries/x-6.10.conf", loader("initrd.img-6.10")),
            ],
            "6.9",
            "systemd-boot, the entry x-6.9",
        ),
        (
            "extlinux",
            &[(
                "boot/extlinux/extlinux.conf",
                "DEFAULT b\nLABEL a\n  APPEND initrd=../initrd.img-6.10 x\nLABEL b\n  INITRD ../initrd.img-6.9\n  APPEND root=/dev/mapper/root\n".into(),
            )],
            "6.9",
            "extlinux, the label b",
        ),
        ("the newest kernel", &[], "6.10", "the newest kernel 6.10"),
    ];
    let system = System::healthy();
    let root_entry = format!("root {} none luks,x-initrd.attach\n", system.text("root.img"));
    let (good, bad) = (
        packed(&["gzip", "-1c"], &image(&root_entry)),
        packed(&["gzip", "-1c"], &image("")),
    );
    let look = |name: &str, system: &System| {
        let root = system.text(name);
        system.write(&format!("{name}/etc/crypttab"), &root_entry);
        system.write(&format!("{name}/proc/cmdline"), "root=/dev/mapper/root\n");
        let backups = system.text("backups");
        system.try_run(&["doctor", "--root", &root, "--backup", &backups, "--memory-budget", "1G"])
    };
    for (number, (case, files, boots, from)) in cases.iter().enumerate() {
        let folder = format!("system{number}");
        for (name, text) in *files {
            system.write(&format!("{folder}/{name}"), text);
        }
        for version in ["6.9", "6.10"] {
            let name = format!("{folder}/boot/initrd.img-{version}");
            system.write(&name, "");
            fs::write(system.path(&name), if version == *boots { &bad } else { &good }).expect("written");
        }
        let (code, said) = look(&folder, &system);
        assert_eq!(code, Some(1), "{case}: {said}");
        assert!(
            said.contains("the crypttab in the initramfs is empty"),
            "{case}: {said}"
        );
        assert!(
            said.contains(&format!("initrd.img-{boots} (")) && said.contains(from),
            "{case}: {said}"
        );
        assert_eq!(
            said.lines().filter(|line| line.starts_with("Checked ")).count(),
            1,
            "{case}: {said}"
        );
    }
    // A unified kernel image has its own arguments, and it is unknown which of two boots.
    let with = |line: &[u8]| unified(&[(b".cmdline", line), (b".initrd", &good)]);
    system.write("uki/efi/EFI/Linux/a.efi", "");
    fs::write(system.path("uki/efi/EFI/Linux/a.efi"), with(b"root=/dev/mapper/root\0")).expect("written");
    let (code, said) = look("uki", &system);
    assert!(
        code == Some(0) && said.contains("the unified kernel image a.efi"),
        "{said}"
    );
    fs::write(
        system.path("uki/efi/EFI/Linux/b.efi"),
        with(b"root=/dev/mapper/nosuch\0"),
    )
    .expect("written");
    let (code, said) = look("uki", &system);
    assert!(
        code == Some(1) && said.contains("root=/dev/mapper/nosuch needs /dev/mapper/nosuch"),
        "{said}"
    );
    assert!(said.contains("a.efi") && said.contains("b.efi"), "{said}");
}

/// An untrusted system, whose files may be anything.
#[test]
fn a_hostile_system_neither_stops_it_nor_leads_out_of_itself() {
    let system = System::healthy();
    let good = packed(&["gzip", "-1c"], &image(""));
    let root = |name: &str| {
        let root = system.path(name);
        for folder in ["etc/default", "boot/grub", "boot/grub2", "boot/loader/entries", "proc"] {
            fs::create_dir_all(root.join(folder)).expect("folders");
        }
        root
    };
    let fifo = |path: PathBuf| nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let doctor = |root: &Path| {
        let start = Instant::now();
        let answer = system.try_run(&["doctor", "--root", &root.display().to_string()]);
        assert!(start.elapsed() < Duration::from_secs(20), "{}", root.display());
        answer
    };
    // A FIFO in every place.
    let waits = root("waits");
    for file in ["etc/fstab", "etc/default/keyboard", "etc/vconsole.conf"] {
        fifo(waits.join(file));
    }
    for file in ["grub/grub.cfg", "grub/grubenv", "loader/loader.conf", "initrd.img-6"] {
        fifo(waits.join("boot").join(file));
    }
    let (code, said) = doctor(&waits);
    assert!(code == Some(1) && said.contains("no boot loader names one"), "{said}");
    for file in ["etc/crypttab", "proc/cmdline"] {
        fifo(waits.join(file));
        assert_eq!(doctor(&waits), (Some(1), String::new()), "{file}");
        fs::remove_file(waits.join(file)).expect("removed");
    }
    // Links are resolved there, not here.
    let links = root("links");
    system.write("outside", "secret /nowhere none luks\n");
    fs::write(system.path("initrd"), &good).expect("written");
    for (to, from) in [("outside", "etc/crypttab"), ("initrd", "boot/initrd.img-6")] {
        std::os::unix::fs::symlink(system.path(to), links.join(from)).expect("a link");
    }
    let (code, said) = doctor(&links);
    assert!(!said.contains("secret") && !said.contains("Checked"), "{said}");
    assert_eq!(code, Some(1));
    fs::write(links.join("image"), &good).expect("written");
    std::os::unix::fs::symlink("/image", links.join("boot/initrd.img-7")).expect("a link");
    let (_, said) = doctor(&links);
    assert!(said.contains("boot/initrd.img-7 (no boot loader"), "{said}");
    // Menus without an end, and images that are named again and again.
    let large = root("large");
    fs::write(large.join("boot/grub/grub.cfg"), "submenu 'a' {\n".repeat(70_000)).expect("written");
    let many: String = (0..10_000)
        .map(|number| {
            format!(
                "menuentry '{number}' {{\n linux /k\n initrd /i{}\n}}\n",
                " /i".repeat(number % 9)
            )
        })
        .collect();
    fs::write(large.join("boot/grub2/grub.cfg"), format!("set default=gone\n{many}")).expect("written");
    fs::write(large.join("boot/i"), packed(&["gzip", "-1c"], &vec![0; 1 << 20])).expect("written");
    let (code, said) = doctor(&large);
    assert!(code == Some(1) && said.contains("/boot/i"), "{said}");
}
