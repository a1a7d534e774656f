//! From LUKS1 to LUKS2 and back. Keys and data stay where they are.

use std::path::Path;

use keyslots::Error;
use keyslots::convert::{to_luks1, to_luks2};
use keyslots::header::{Header, Version};
use keyslots::luks2;

use super::ask::agree;
use super::{Changing, Confirm, CryptError, HeaderPlace, LuksDevice, Others, Question, check_header_unused};
use crate::data_device;

impl LuksDevice {
    /// Converts the header. `data` is the device with the data, as the user named it.
    ///
    /// # Errors
    /// [`CryptError::AlreadyVersion`], [`CryptError::Data`] or [`CryptError::HeaderInUse`] where the volume may be in use,
    /// [`CryptError::Declined`], [`keyslots::Error::CannotConvert`], and those of a change.
    pub fn convert(
        &mut self,
        changing: &Changing<'_>,
        confirm: &dyn Confirm,
        data: &Path,
        to: Version,
    ) -> Result<(), CryptError> {
        if self.header.version() == to {
            return Err(CryptError::AlreadyVersion(to));
        }
        let holds_data = self.opened.number.is_some() || self.place == HeaderPlace::WithData;
        if holds_data {
            data_device::check_destroyable(data)?;
        }
        check_header_unused(&mut self.opened.file, self.device.path())?;
        let question = Question::Convert {
            device: data,
            to,
            loses: to == Version::Luks1 && self.header.luks2().is_some_and(loses_something),
        };
        agree(confirm, &question)?;
        let (wanted, medium) = (self.same_version(), self.device.medium());
        changing.change(&self.device, wanted, Others::MustNot, |header, storage| {
            // A person took time to answer: it may be another volume by now, or an active one.
            if header.uuid() != self.header.uuid() {
                return Err(Error::ChangedMeanwhile.into());
            }
            if holds_data {
                data_device::check_destroyable(data)?;
            }
            check_header_unused(&mut self.opened.file, self.device.path())?;
            // The converted header is what a later check may read.
            *header = match header {
                Header::Luks1(header) => Header::Luks2(to_luks2(header, storage, medium)?),
                Header::Luks2(header) => Header::Luks1(to_luks1(header, storage)?),
            };
            Ok(())
        })
    }
}

/// Whether LUKS1 has no place for something in a header.
fn loses_something(header: &luks2::Header) -> bool {
    let (binary, metadata) = (header.binary(), header.metadata());
    !binary.label.is_empty()
        || !binary.subsystem.is_empty()
        || !metadata.config.flags.is_empty()
        || metadata.keyslots.values().any(|slot| slot.priority.is_some())
}
