//! Every option of the manual pages, and invalid ones.

use super::*;
use crate::boot::source::DeviceSpec;
use keyslots::KeyslotId;

fn parsed(list: &str) -> (VolumeOptions, Vec<String>) {
    let mut warnings = Vec::new();
    let options = VolumeOptions::parse(list, &mut warnings);
    (options, warnings)
}

/// Debian decodes after it has split the list.
#[test]
fn escapes_are_decoded_in_each_option() {
    let (options, warnings) =
        parsed("keyscript=/a\\054b,luks\\054discard,header=/a\\040b,check\\075args=x,tries=\\062");
    assert_eq!(options.keyscript.as_deref(), Some("/a,b"));
    assert_eq!(
        options.header,
        Some(Place {
            path: "/a b".into(),
            device: None
        })
    );
    assert_eq!(options.tries, Some(2));
    assert!(!options.discard && options.kind.is_none());
    let unknown = ["luks,discard", "check=args"].map(|name| format!("unknown option '{name}' is ignored"));
    assert_eq!(warnings, unknown);
    let given = |name: &str| {
        options
            .given
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(given("keyscript"), Some("/a,b"));
}

#[test]
fn each_option_is_read() {
    let (options, warnings) = parsed(
        "luks,cipher=aes-xts-plain64,hash=sha256,size=512,sector-size=4096,offset=8,skip=16,keyfile-offset=32,\
         keyfile-size=64,keyfile-timeout=1min30s,keyfile-erase,key-slot=3,header=/h:UUID=ab,verify,readonly,discard,\
         same-cpu-crypt,submit-from-crypt-cpus,no-read-workqueue,no-write-workqueue,tries=5,timeout=30,\
         x-systemd.device-timeout=2m,swap,tmp=xfs,check=un_blkid,checkargs=ext4,initramfs,noauto,nofail,quiet,\
         keyscript=passdev,password-echo=yes,headless=true,try-empty-password",
    );
    assert_eq!(warnings, Vec::<String>::new());
    let given = options.given.clone();
    assert_eq!(
        options,
        VolumeOptions {
            kind: Some(Kind::Luks),
            cipher: Some("aes-xts-plain64".into()),
            hash: Some("sha256".into()),
            size: Some(512),
            sector_size: Some(4096),
            offset: Some(Sectors::new(8)),
            skip: Some(Sectors::new(16)),
            keyfile_offset: Some(Bytes::new(32)),
            keyfile_size: Some(Bytes::new(64)),
            keyfile_timeout: Some(Duration::from_secs(90)),
            keyfile_erase: true,
            key_slot: Some(SlotRef::Number(KeyslotId::new(3))),
            header: Some(Place {
                path: "/h".into(),
                device: Some(DeviceSpec::Uuid("ab".into()))
            }),
            verify: true,
            read_only: true,
            discard: true,
            same_cpu_crypt: true,
            submit_from_crypt_cpus: true,
            no_read_workqueue: true,
            no_write_workqueue: true,
            tries: Some(5),
            timeout: Some(Duration::from_secs(30)),
            device_timeout: Some(Duration::from_secs(120)),
            swap: true,
            tmp: Some("xfs".into()),
            check: Some("un_blkid".into()),
            checkargs: Some("ext4".into()),
            initramfs: true,
            noauto: true,
            nofail: true,
            quiet: true,
            keyscript: Some("passdev".into()),
            password_echo: Echo::Plain,
            headless: true,
            try_empty_password: true,
            given,
        }
    );
}

#[test]
fn every_documented_option_is_known() {
    // crypttab(5) of Debian 12, and of systemd 257.
    for option in [
        "cipher=x",
        "size=256",
        "sector-size=512",
        "hash=x",
        "offset=1",
        "skip=1",
        "keyfile-offset=1",
        "keyfile-size=1",
        "keyslot=1",
        "key-slot=1",
        "header=/x",
        "verify",
        "readonly",
        "read-only",
        "tries=0",
        "discard",
        "luks",
        "plain",
        "bitlk",
        "fvault2",
        "tcrypt",
        "veracrypt",
        "tcrypt-veracrypt",
        "tcrypthidden",
        "tcrypt-hidden",
        "same-cpu-crypt",
        "submit-from-crypt-cpus",
        "no-read-workqueue",
        "no-write-workqueue",
        "swap",
        "tmp",
        "tmp=ext4",
        "check",
        "check=blkid",
        "checkargs=ext4",
        "initramfs",
        "noearly",
        "noauto",
        "loud",
        "quiet",
        "keyscript=/x",
        "keyfile-erase",
        "keyfile-timeout=5s",
        "_netdev",
        "nofail",
        "tcrypt-keyfile=/x",
        "tcrypt-system",
        "veracrypt-pim=1",
        "timeout=1",
        "try-empty-password=yes",
        "password-echo=masked",
        "password-cache=yes",
        "headless=false",
        "x-systemd.device-timeout=5",
        "x-initrd.attach",
    ] {
        assert_eq!(parsed(option).1, Vec::<String>::new(), "{option}");
    }
}

#[test]
fn what_means_nothing_is_a_warning_and_no_failure() {
    let (options, warnings) =
        parsed("luks,nosuch=1,size=-1,sector-size=513,header,tries=many,tpm2-device=auto,,discard");
    assert_eq!(
        warnings,
        [
            "unknown option 'nosuch' is ignored",
            "option 'size' cannot be '-1', and is ignored",
            "option 'sector-size' cannot be '513', and is ignored",
            "option 'header' needs a value, and is ignored",
            "option 'tries' cannot be 'many', and is ignored",
            "option 'tpm2-device' is ignored: the volume is unlocked by passphrase or key file",
        ]
    );
    assert!(options.discard && options.size.is_none() && options.header.is_none());
}

#[test]
fn times_are_those_of_systemd() {
    let seconds = |text: &str| duration(text).map(|time| time.as_millis());
    assert_eq!(seconds("90"), Some(90_000));
    assert_eq!(seconds("1min 30s"), Some(90_000));
    assert_eq!(seconds("500ms"), Some(500));
    assert_eq!(seconds("2h"), Some(7_200_000));
    for bad in [
        "",
        "x",
        "5parsecs",
        "-1",
        "99999999999999999999",
        "18446744073709551615h",
    ] {
        assert_eq!(seconds(bad), None, "{bad}");
    }
    assert_eq!(parsed("timeout=infinity").0.timeout, Some(Duration::ZERO));
}
