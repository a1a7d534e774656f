//! Headers that change their place: onto the device that was encrypted, and off the one that is decrypted.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use keyslots::luks2::reencrypt::{export, install};

use super::OfflineData;
use crate::crypt_device::{CryptError, LuksDevice};

impl LuksDevice {
    /// Puts this header, of an encryption in place that has begun, onto the device with the data.
    ///
    /// # Errors
    /// [`CryptError`]. It may be repeated, as long as this header is there.
    pub fn install_header(&self, data: &mut OfflineData) -> Result<(), CryptError> {
        // From now on the file has the only header, so that its name has to be on the disk too.
        sync_folder(self.device.path()).map_err(CryptError::io("sync the folder of the header file"))?;
        self.device.exclusive_raw(|file| Ok(install(file, &mut data.file)?))
    }

    /// Writes this header to a new file, where a decryption goes on with it: it and its name are on the disk then.
    ///
    /// # Errors
    /// [`CryptError`]; the file does not stay.
    pub fn export_header(&self, to: &Path) -> Result<(), CryptError> {
        let header = self.luks2()?;
        let creating = || CryptError::io("create the header file");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(to);
        let mut file = file.map_err(creating())?;
        let exported = self
            .device
            .exclusive_raw(|device| Ok(export(header, device, &mut file)?));
        let exported: Result<(), CryptError> = exported.and_then(|_| sync_folder(to).map_err(creating()));
        exported.inspect_err(|_| {
            // It has nothing that the device has not.
            let _ = fs::remove_file(to);
        })
    }
}

/// Makes sure that the name of a file is on the disk.
pub(super) fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
