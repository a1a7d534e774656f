//! Active volumes: where their headers and keys come from, and how the lack of a device-mapper is put.

use std::path::Path;

use keyslots::secret::VolumeKey;

use super::context::Context;
use super::keyring_keys::key_link;
use crate::crypt_device::{KeyLink, Keys, LuksDevice};
use crate::cryptsetup::error::{CliError, MappingError};
use crate::dm::DeviceName;
use crate::header_device::Wanted;

impl Keys for Context<'_> {
    type Error = CliError;

    fn link(&self) -> Result<Option<KeyLink<'_>>, CliError> {
        key_link(self)
    }

    fn header(&self, device: &Path, wanted: Wanted, mapping: Option<&DeviceName>) -> Result<LuksDevice, CliError> {
        self.load(device, wanted).map_err(|error| match (error, mapping) {
            (CliError::NotLuks { .. }, Some(name)) if self.options.header.is_none() => {
                CliError::Mapping(MappingError::NotActiveLuks {
                    name: name.to_string(),
                    kind: "LUKS",
                })
            }
            (error, _) => error,
        })
    }

    fn key(&self, volume: &mut LuksDevice, device: &Path) -> Result<VolumeKey, CliError> {
        self.volume_key(volume, device)
    }
}

/// Without a device-mapper nothing is mapped: the exit code is that of a missing mapping, as with cryptsetup.
pub(super) fn mapped_at_all(error: CliError) -> CliError {
    match error {
        CliError::NoDeviceMapper => CliError::NothingMapped,
        error => error,
    }
}
