//! Texts of `status`, from tables in the kernel's form: those of cryptsetup as it printed them itself, and ours as in the
//! golden file. `LUKSMITH_UPDATE_GOLDEN=1` writes that anew.

use std::path::{Path, PathBuf};

use super::*;
use crate::block_device::DevNo;
use crate::crypt_device::ServedStatus;
use crate::dm::table::{Table, TableText};
use crate::dm::{DeviceInfo, DeviceUuid};
use crate::userspace::{Description, Served};

/// A volume: its name, the start of its UUID, its table, and the file behind its device.
struct Volume(&'static str, &'static str, &'static str, Option<&'static str>);

/// The volumes of `tests/guest/transcript.sh`.
const RECORDED: [Volume; 3] = [
    Volume(
        "x",
        "CRYPT-LUKS2-11111111222233334444555555555555-",
        "0 16384 crypt aes-xts-plain64 :64:logon:cryptsetup:11111111-2222-3333-4444-555555555555-d0 0 /dev/loop0 32768 \
         1 sector_size:4096",
        Some("/root/v2"),
    ),
    Volume(
        "x1",
        "CRYPT-LUKS1-11111111222233334444555555555555-",
        "0 45056 crypt aes-xts-plain64 KEY 0 /dev/loop1 4096",
        Some("/root/v1"),
    ),
    Volume(
        "pl",
        "CRYPT-PLAIN-",
        "0 49152 crypt aes-xts-plain64 KEY 0 /dev/loop2 0",
        Some("/root/p"),
    ),
];

/// More of what a line can say.
const MORE: [Volume; 3] = [
    Volume(
        "shifted",
        "CRYPT-PLAIN-",
        "0 800 crypt aes-cbc-essiv:sha256 KEY 16 /dev/sdx 8 7 allow_discards same_cpu_crypt submit_from_crypt_cpus \
         no_read_workqueue no_write_workqueue sector_size:4096 iv_large_sectors",
        None,
    ),
    Volume(
        "sealed",
        "CRYPT-LUKS2-11111111222233334444555555555555-",
        "0 800 crypt capi:authenc(hmac(sha256),xts(aes))-random KEY 0 /dev/mapper/sealed_dif 0 1 integrity:48:aead",
        None,
    ),
    Volume(
        "unknown",
        "",
        "0 800 crypt aes-xts-plain64 KEY 0 /dev/sdx 0 1 high_priority",
        None,
    ),
];

impl Volume {
    fn name(&self) -> DeviceName {
        DeviceName::new(self.0).expect("a name")
    }

    fn active(&self, open_count: u32, suspended: bool, read_only: bool) -> Active {
        let Self(name, uuid, table, _) = self;
        let uuid = (!uuid.is_empty()).then(|| DeviceUuid::new(format!("{uuid}{name}")).expect("a UUID"));
        let info = DeviceInfo {
            name: self.name(),
            uuid,
            number: DevNo::new(253, 7),
            open_count,
            event_nr: 0,
            target_count: 1,
            suspended,
            internally_suspended: false,
            read_only,
            live_table: true,
            inactive_table: false,
            deferred_remove: false,
        };
        let table = table.replace("KEY", &"0".repeat(128));
        let table = TableText::parse(table.as_bytes()).expect("a table");
        Active::of_table(info, &Table::from_text(&table).expect("a table")).expect("a crypt table")
    }

    fn text(&self, active: &Active) -> String {
        text(&self.name(), active, self.3.map(Path::new), type_name(active.kind))
    }
}

#[test]
fn volumes_are_shown_as_by_the_newest_cryptsetup() {
    let transcript = include_str!("../../../../tests/guest/transcript.txt");
    let shown = |text: String| assert!(transcript.contains(&(text.clone() + "[exit 0]")), "{text}");
    for volume in &RECORDED {
        shown(volume.text(&volume.active(0, false, false)));
    }
    let luks1 = &RECORDED[1];
    shown(luks1.text(&luks1.active(0, true, false)));
    shown(luks1.text(&luks1.active(1, false, false)));
}

#[test]
fn texts_are_those_of_the_golden_file() {
    let mut told = String::new();
    let volumes = RECORDED.iter().chain(&MORE).zip(0..);
    for (volume, n) in volumes {
        let active = volume.active(n % 2, n % 3 == 2, n % 4 == 3);
        let file = volume.3.map(Path::new);
        told += &volume.text(&active);
        told += &format!("{:#}\n", to_json(&volume.name(), &active, file));
    }
    let served = ServedStatus {
        served: Served {
            name: "image".to_owned(),
            path: PathBuf::from("/run/luksmith/image"),
            description: Description {
                device: PathBuf::from("/root/image"),
                kind: "LUKS2".to_owned(),
                cipher: "aes-xts-plain64".to_owned(),
                key_len: 64,
                sector_size: 512,
                offset: Sectors::new(32768),
                read_only: true,
                allow_discards: true,
                ..Description::default()
            },
            pid: 4711,
            alive: true,
        },
        stopped: true,
        size: Some(keyslots::units::Bytes::mib(8)),
    };
    told += &serve::text(&served);
    told += &format!("{:#}\n", serve::to_json(&served));
    // As cryptsetup shows a mapping that is no volume.
    told += &other_text(&RECORDED[0].name(), in_use(1), NONE);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/status.txt");
    if std::env::var_os("LUKSMITH_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &told).expect("written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(told.lines()).find(|(golden, now)| golden != now);
    assert!(golden == told, "status.txt is out of date: {differs:?}");
}
