//! Active volumes that need a header, wherever it is.

use std::fs::File;
use std::path::Path;

use keyslots::header::Header;

use super::CryptError;
use crate::block_device::Holder;
use crate::dm::Dm;
use crate::userspace::Registry;
use crate::volume;

/// Checks that no active volume needs the header that is open as `file`: with a detached header, the kernel does not stop
/// others from writing to it.
///
/// # Errors
/// [`CryptError::HeaderInUse`], or the device-mapper's.
pub fn check_header_unused(file: &mut File, path: &Path) -> Result<(), CryptError> {
    let Ok(header) = Header::read(file) else {
        return Ok(());
    };
    let mut users = match Dm::open() {
        Ok(dm) => volume::users_of_header(&dm, &header)?,
        Err(_) => Vec::new(),
    };
    users.extend(Registry::existing().map_or_else(Vec::new, |registry| registry.users_of_header(&header)));
    if users.is_empty() {
        return Ok(());
    }
    Err(CryptError::HeaderInUse {
        path: path.to_owned(),
        holders: users.into_iter().map(|name| Holder::Volume { name }).collect(),
    })
}
