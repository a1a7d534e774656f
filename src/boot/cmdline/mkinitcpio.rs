//! mkinitcpio's `cryptkey=` and `crypto=`.

use keyslots::units::Bytes;

use crate::boot::crypttab::{Entry, KeySource};
use crate::boot::options::VolumeOptions;
use crate::boot::source::{DeviceSpec, Place};

/// `rootfs:<path>`, `<device>:<file system>:<path>`, or `<device>:<offset>:<size>` in bytes.
pub(super) fn cryptkey(text: &str, entry: &mut Entry, warnings: &mut Vec<String>) {
    if let Some(path) = text.strip_prefix("rootfs:") {
        entry.key = KeySource::File(Place::parse(path));
        return;
    }
    let mut parts = text.splitn(3, ':');
    let (Some(device), Some(second), Some(third)) = (parts.next(), parts.next(), parts.next()) else {
        warnings.push(format!(
            "kernel argument cryptkey={text} is not of a form that mkinitcpio knows, and is ignored"
        ));
        return;
    };
    match (second.parse::<u64>(), third.parse::<u64>()) {
        (Ok(offset), Ok(size)) => {
            entry.options.keyfile_offset = Some(Bytes::new(offset));
            entry.options.keyfile_size = Some(Bytes::new(size));
            entry.key = KeySource::Raw(DeviceSpec::parse(device));
        }
        // The type of the file system is detected on the device.
        _ => {
            entry.key = KeySource::File(Place {
                path: third.into(),
                device: Some(DeviceSpec::parse(device)),
            });
        }
    }
}

/// `<hash>:<cipher>:<key size>:<offset>:<skip>`, each of which may be empty: a plain volume.
pub(super) fn plain_parameters(text: &str, entry: &mut Entry, warnings: &mut Vec<String>) {
    let parts: Vec<&str> = text.split(':').collect();
    let [hash, cipher, size, offset, skip] = parts.as_slice() else {
        warnings.push(format!(
            "kernel argument crypto={text} does not have five parts, and is ignored"
        ));
        return;
    };
    let given = [
        ("hash", hash),
        ("cipher", cipher),
        ("size", size),
        ("offset", offset),
        ("skip", skip),
    ];
    let given = given.iter().filter(|(_, value)| !value.is_empty());
    let list: Vec<_> = given.map(|(name, value)| format!("{name}={value}")).collect();
    let plain = VolumeOptions::parse(&format!("plain,{}", list.join(",")), warnings);
    let options = &mut entry.options;
    options.kind = plain.kind;
    options.hash = plain.hash;
    options.cipher = plain.cipher;
    options.size = plain.size;
    options.offset = plain.offset;
    options.skip = plain.skip;
}
