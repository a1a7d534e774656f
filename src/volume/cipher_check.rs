//! Whether this kernel can map a cipher, found out before a header that names it is written.
//!
//! The kernel is asked by loading a table that is never resumed, over an error device, so that no data are touched and
//! nothing waits for udev.

use std::sync::atomic::{AtomicU32, Ordering};

use keyslots::cipher::CipherName;
use keyslots::secret::Secret;
use keyslots::units::Sectors;
use nix::errno::Errno;

use super::{Flags, VolumeError};
use crate::dm::table::{CryptKey, CryptTarget, DeviceRef, Table, Target, TargetType};
use crate::dm::{DeviceId, DeviceInfo, DeviceName, Dm, Mangling, NewDevice, RemoveOptions};

/// The size of the test mapping: a page.
const SIZE: Sectors = Sectors::new(8);

/// Asks the kernel to set up `cipher` (`aes-xts-plain64`, `capi:…`) with a key of `key_len` bytes and encryption sectors of
/// `sector_size` bytes. The key is random and used for nothing.
///
/// # Errors
/// [`VolumeError::CipherText`], [`VolumeError::NoDmCrypt`], [`VolumeError::CipherRefused`] with the kernel's answer; others
/// where the test could not be made.
pub fn check_cipher(dm: &Dm, cipher: &CipherName, key_len: usize, sector_size: u32) -> Result<(), VolumeError> {
    cipher.check()?;
    let key_len = if cipher.is_null() { 0 } else { key_len };
    let base = Temporary::create(dm)?;
    let errors = Table::single(SIZE, Target::Error).to_text()?;
    dm.load(&base.id, &errors, false)?;
    let options = Flags::default().to_options(sector_size, false);
    let crypt = CryptTarget {
        cipher: cipher.to_string(),
        key: CryptKey::Raw(Secret::random(key_len).map_err(VolumeError::Memory)?),
        iv_offset: Sectors::ZERO,
        device: DeviceRef::Number(base.info.number),
        offset: Sectors::ZERO,
        options,
    };
    let asked = Temporary::create(dm)?;
    let table = Table::single(SIZE, Target::Crypt(crypt)).to_text()?;
    match dm.load(&asked.id, &table, false) {
        Ok(_) => Ok(()),
        Err(error) => {
            let source = error.on_device(&asked.info);
            match source.errno() {
                Some(Errno::EINVAL) if lacks_dm_crypt(dm) => Err(VolumeError::NoDmCrypt(source)),
                Some(Errno::ENOENT | Errno::EINVAL) => Err(VolumeError::CipherRefused {
                    cipher: cipher.to_string(),
                    key_bits: key_len * 8,
                    source,
                }),
                _ => Err(source.into()),
            }
        }
    }
}

/// Whether the kernel has no dm-crypt, and could not load it when a table asked for it.
pub(super) fn lacks_dm_crypt(dm: &Dm) -> bool {
    let versions = dm.target_versions();
    versions.is_ok_and(|versions| versions.iter().all(|(kind, _)| *kind != TargetType::CRYPT))
}

/// A device that is removed on drop.
struct Temporary<'a> {
    dm: &'a Dm,
    id: DeviceId,
    info: DeviceInfo,
}

impl<'a> Temporary<'a> {
    fn create(dm: &'a Dm) -> Result<Self, VolumeError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // cryptsetup's name, which udev's rules and people's scripts know to leave alone.
        let name = format!("temporary-cryptsetup-{}-{number}", std::process::id());
        let name = DeviceName::mangled(&name, Mangling::default())?;
        let info = dm.create(&NewDevice::empty(&name))?.info;
        Ok(Self {
            dm,
            id: DeviceId::Name(name),
            info,
        })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // Nothing depends on it, and the earlier failure is the one to report.
        let _ = self.dm.remove(
            &self.id,
            RemoveOptions {
                retry: true,
                deferred: false,
            },
        );
    }
}
