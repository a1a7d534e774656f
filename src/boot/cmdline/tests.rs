//! Each way in which a kernel command line names volumes, and the arguments that are invalid.

use std::time::Duration;

use keyslots::units::Bytes;

use super::tokenize::words;
use super::*;
use crate::boot::crypttab::KeySource;
use crate::boot::options::Kind;
use crate::boot::source::Place;

const UUID: &str = "b40f1abf-2a53-400a-889a-2eccc27eaa40";

fn planned(crypttab: &str, line: &str) -> Vec<Entry> {
    let planned = plan(Crypttab::parse(crypttab), line);
    assert_eq!(planned.warnings, Vec::<String>::new(), "{line}");
    planned.entries
}

/// With the reason.
#[track_caller]
fn none_is_unlocked(crypttab: &str, line: &str, argument: &str) {
    let planned = plan(Crypttab::parse(crypttab), line);
    let warning = format!("kernel argument {argument} keeps all volumes from being unlocked");
    assert_eq!(
        (planned.entries, planned.warnings),
        (Vec::new(), vec![warning]),
        "{line}"
    );
}

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

#[test]
fn systemd_names_a_volume_by_its_uuid() {
    let entries = planned(
        "",
        &format!(
            "quiet rd.luks.name={UUID}=root rd.luks.key={UUID}=/key:LABEL=keys rd.luks.options={UUID}=discard,tries=1"
        ),
    );
    let [entry] = entries.as_slice() else {
        panic!("{entries:?}")
    };
    assert_eq!((entry.name.as_str(), entry.named_by_uuid), ("root", false));
    assert_eq!(entry.source, DeviceSpec::Uuid(UUID.into()));
    assert_eq!(entry.key, KeySource::File(Place::parse("/key:LABEL=keys")));
    assert_eq!((entry.options.discard, entry.options.tries), (true, Some(1)));
}

#[test]
fn a_bare_uuid_names_the_mapping_too_and_may_be_its_start() {
    let entries = planned(
        "",
        &format!("luks.uuid={UUID} rd.luks.uuid=luks-AAAA luks.options=timeout=5"),
    );
    assert_eq!(names(&entries), [format!("luks-{UUID}").as_str(), "luks-aaaa"]);
    assert!(entries.iter().all(|entry| entry.named_by_uuid));
    assert_eq!(entries[1].source, DeviceSpec::UuidPrefix("aaaa".into()));
    assert_eq!(entries[0].options.timeout, Some(Duration::from_secs(5)));
}

#[test]
fn uuids_select_from_the_crypttab_and_data_and_header_may_be_apart() {
    let table =
        format!("root UUID={UUID} /key luks,discard\nhome UUID=cafe none luks\nswap /dev/sda3 /dev/urandom swap\n");
    let entries = planned(&table, &format!("rd.luks.uuid={UUID}"));
    assert_eq!(names(&entries), ["root"]);
    assert!(entries[0].options.discard);
    assert_eq!(names(&planned(&table, "quiet")), ["root", "home", "swap"]);
    assert_eq!(names(&planned(&table, "rd.luks.crypttab=0")), Vec::<&str>::new());
    none_is_unlocked(&table, "rd.luks=0", "luks");
    none_is_unlocked(&table, "rd.luks.enabled=0", "luks");
    let entries = planned(
        "",
        &format!("rd.luks.uuid={UUID} rd.luks.options={UUID}=header=/h:LABEL=hdr rd.luks.data={UUID}=/dev/sdx"),
    );
    assert_eq!(entries[0].source, DeviceSpec::Path("/dev/sdx".into()));
    assert_eq!(entries[0].options.header, Some(Place::parse("/h:LABEL=hdr")));
}

#[test]
fn dracut_says_discards_timeouts_and_keys_for_all_or_for_one() {
    let line = "rd.luks.uuid=aaaa rd.luks.uuid=bbbb rd.luks.allow-discards=luks-bb rd.luks.timeout=7 \
                rd.luks.key=/k:LABEL=stick rd.luks.key=/b:LABEL=stick:UUID=bbbb";
    let entries = planned("", line);
    assert_eq!(
        entries.iter().map(|entry| entry.options.discard).collect::<Vec<_>>(),
        [false, true]
    );
    assert!(
        entries
            .iter()
            .all(|entry| entry.options.timeout == Some(Duration::from_secs(7)))
    );
    assert_eq!(entries[0].key, KeySource::File(Place::parse("/k:LABEL=stick")));
    assert_eq!(entries[1].key, KeySource::File(Place::parse("/b:LABEL=stick")));
    assert!(
        planned("", "rd.luks.uuid=aaaa rd.luks.allow-discards")[0]
            .options
            .discard
    );
    assert_eq!(
        planned("", "rd.luks.partuuid=AB-01")[0].source,
        DeviceSpec::PartUuid("ab-01".into())
    );
    assert_eq!(
        planned("", "rd.luks.serial=S3R1AL")[0].source,
        DeviceSpec::Serial("S3R1AL".into())
    );
}

#[test]
fn mkinitcpio_has_one_argument_for_device_name_and_options() {
    let entries = planned(
        "",
        "cryptdevice=UUID=AB:root:allow-discards,no-read-workqueue cryptkey=LABEL=k:ext4:/key",
    );
    assert_eq!(
        (entries[0].name.as_str(), &entries[0].source),
        ("root", &DeviceSpec::Uuid("ab".into()))
    );
    assert!(entries[0].options.discard && entries[0].options.no_read_workqueue);
    assert_eq!(entries[0].key, KeySource::File(Place::parse("/key:LABEL=k")));
    let entries = planned("", "cryptkey=/dev/sdb:2048:64 cryptdevice=/dev/sda2:root");
    assert_eq!(entries[0].key, KeySource::Raw(DeviceSpec::Path("/dev/sdb".into())));
    assert_eq!(entries[0].options.keyfile_offset, Some(Bytes::new(2048)));
    let entries = planned(
        "",
        "cryptdevice=/dev/sda2:root cryptkey=rootfs:/k crypto=sha512:aes-xts-plain64:512:0:",
    );
    assert_eq!(entries[0].key, KeySource::File(Place::parse("/k")));
    assert_eq!(
        (entries[0].options.kind, entries[0].options.size),
        (Some(Kind::Plain), Some(512))
    );
    assert_eq!(entries[0].options.skip, None);
}

#[test]
fn debian_puts_a_whole_line_into_one_argument() {
    let entries = planned(
        "root /dev/a none luks\n",
        "cryptopts=target=root,source=/dev/b,key=/k,luks,tries=9",
    );
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0].source, entries[0].options.tries),
        (&DeviceSpec::Path("/dev/b".into()), Some(9))
    );
    none_is_unlocked("root /dev/a\n", "cryptopts=", "cryptopts");
}

#[test]
fn what_is_resumed_from_opens_before_the_root() {
    let table = "data /dev/a\nroot /dev/b\nswap /dev/c\n";
    let entries = planned(table, "root=/dev/mapper/root resume=/dev/mapper/swap ro");
    assert_eq!(names(&entries), ["swap", "root", "data"]);
}

#[test]
fn of_two_volumes_with_one_name_the_first_is_kept() {
    let line =
        "rd.luks.name=11111111-2222-3333-4444-555555555555=a rd.luks.name=22222222-2222-3333-4444-555555555555=a";
    let plan = plan(Crypttab::default(), line);
    assert_eq!(names(&plan.entries), ["a"]);
    assert_eq!(plan.warnings, ["a appears twice; the first entry is used"]);
    let renamed = planned("a /dev/x\nb UUID=11111111-2222-3333-4444-555555555555\n", "");
    assert_eq!(names(&renamed), ["a", "b"]);
}

#[test]
fn words_may_be_quoted_and_end_at_the_first_process() {
    assert_eq!(words("a \"b c\"=d  e\n"), ["a", "b c=d", "e"]);
    assert_eq!(words("a -- rd.luks=0"), ["a"]);
    assert_eq!(words("\"open"), ["open"]);
}

#[test]
fn what_means_nothing_is_a_warning() {
    let warnings = |line: &str| plan(Crypttab::default(), line).warnings.len();
    for line in [
        "rd.luks.name=root",
        "rd.luks.uuid=",
        "rd.luks.timeout=x",
        "cryptdevice=/dev/sda",
        "cryptopts=target=x",
        "cryptdevice=/dev/a:b cryptkey=/dev/c",
        "cryptdevice=/dev/a:b crypto=x",
        "cryptdevice=/dev/a:b/c",
    ] {
        assert_eq!(warnings(line), 1, "{line}");
    }
}

#[test]
fn noauto_is_for_what_the_machine_can_start_without() {
    let line =
        format!("root /dev/sda none luks,noauto\nswap /dev/sdb none luks,noauto\ndata UUID={UUID} none luks,noauto\n");
    let auto = |arguments: &str| -> Vec<String> {
        let entries = planned(&line, arguments);
        let auto = entries.into_iter().filter(|entry| !entry.options.noauto);
        auto.map(|entry| entry.name).collect()
    };
    assert_eq!(auto("quiet"), Vec::<String>::new());
    assert_eq!(auto("root=/dev/mapper/root resume=/dev/mapper/swap"), ["swap", "root"]);
    assert_eq!(auto(&format!("rd.luks.uuid={UUID}")), ["data"]);
    let planned = plan(Crypttab::parse("x /dev/sda none luks,noauto,x-initrd.attach"), "");
    assert_eq!(
        planned.warnings,
        ["x: noauto keeps it from being unlocked in the initramfs"]
    );
}

#[test]
fn a_key_without_a_device_is_searched_for() {
    let key = |line: &str| planned("", line).remove(0).key;
    let search = KeySource::Search("/key".into());
    assert_eq!(key(&format!("rd.luks.uuid={UUID} rd.luks.key=/key")), search);
    assert_eq!(key("rd.luks.partuuid=ab rd.luks.key=/key"), search);
    // A key that is named for a volume must be present, as in systemd.
    assert_eq!(
        key(&format!("rd.luks.name={UUID}=root rd.luks.key={UUID}=/key")),
        KeySource::File(Place::parse("/key"))
    );
    assert_eq!(
        key(&format!("rd.luks.uuid={UUID} rd.luks.key=/key:LABEL=keys")),
        KeySource::File(Place::parse("/key:LABEL=keys"))
    );
}

#[test]
fn what_is_needed_is_unlocked_whatever_it_says_of_noauto() {
    let entries = planned(
        "root UUID=ab /k:/dev/mapper/keys luks\nkeys /dev/x none luks,noauto\nother /dev/y none luks,noauto\n",
        "",
    );
    let noauto: Vec<bool> = entries.iter().map(|entry| entry.options.noauto).collect();
    assert_eq!(noauto, [false, false, true]);
    // A detached stick is not required by the machine.
    let nofail: Vec<bool> = entries.iter().map(|entry| entry.options.nofail).collect();
    assert_eq!(nofail, [false, true, false]);
}
