//! A new header and its first keyslot's costs, in memory.

use keyslots::Error;
use keyslots::header::{Header, Version};
use keyslots::luks1::{self, DIGEST_LEN};
use keyslots::luks2::{self, CreateParams};
use keyslots::secret::VolumeKey;
use keyslots::units::Bytes;

use super::placement::{Place, check_sectors};
use super::{FormatTarget, Prepared, check_room};
use crate::crypt_device::{Changing, CryptError, Event, FormatError, KeyslotCost};
use crate::volume::VolumeError;

/// A volume that was planned, and not written yet.
#[derive(Debug)]
pub struct Planned<'a> {
    pub(super) prepared: Prepared<'a>,
    pub(super) key: VolumeKey,
    pub(super) header: Header,
    pub(super) cost: KeyslotCost,
    pub(super) data_offset: Bytes,
}

impl<'a> Prepared<'a> {
    /// Makes the header, in memory, and chooses the costs of the keyslot. Without a volume key a random one is made.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn plan(self, changing: &Changing<'_>, key: Option<VolumeKey>) -> Result<Planned<'a>, CryptError> {
        let random = || VolumeKey::random(self.key_size()).map_err(VolumeError::Memory);
        let key = key.map_or_else(random, Ok)?;
        let (header, data_offset) = match self.request.version {
            Version::Luks1 => {
                let header = self.luks1(changing, &key)?;
                let data_offset = header.payload_offset().bytes().unwrap_or_default();
                (Header::Luks1(header), data_offset)
            }
            Version::Luks2 => {
                let header = self.luks2(changing, &key)?;
                let data_offset = header.data_offset().bytes().unwrap_or_default();
                (Header::Luks2(header), data_offset)
            }
        };
        self.check_image_fits(data_offset)?;
        if let Header::Luks2(header) = &header {
            if self.request.target.is_device() {
                check_sectors(self.topology.size, data_offset, self.sector_size)?;
            }
            self.tell_keyslots_size(changing, header);
        }
        // A user may want the header alone, so a device without room for data is not an error.
        if self.request.target.is_device() && self.topology.size <= data_offset {
            let device = self.request.device;
            changing.observer.notice(Event::NoRoomForData { device });
        }
        let request = &self.request.cost;
        let cost = match self.request.version {
            Version::Luks1 => KeyslotCost::Luks1 {
                iterations: request.luks1(key.len(), changing)?,
            },
            Version::Luks2 => KeyslotCost::Luks2(request.luks2(&self.cipher, key.len(), changing)?),
        };
        Ok(Planned {
            prepared: self,
            key,
            header,
            cost,
            data_offset,
        })
    }

    fn luks1(&self, changing: &Changing<'_>, key: &VolumeKey) -> Result<luks1::Header, CryptError> {
        let params = luks1::CreateParams {
            cipher: self.cipher.spec()?,
            hash: self.hash,
            uuid: self.request.uuid,
            digest_iterations: self.request.cost.digest_iterations(self.hash, DIGEST_LEN)?,
            data: self.place.luks1(),
        };
        let header = luks1::Header::create(&params, key, changing.limits)?;
        if matches!(self.place, Place::At(place) if place != header.payload_offset()) {
            return Err(FormatError::DataOffsetTooSmall(Version::Luks1).into());
        }
        Ok(header)
    }

    fn luks2(&self, changing: &Changing<'_>, key: &VolumeKey) -> Result<luks2::Header, CryptError> {
        let request = &self.request;
        let (hash, text) = (self.hash, |text: Option<&str>| text.unwrap_or_default().to_owned());
        let params = CreateParams {
            encryption: self.cipher.to_string(),
            sector_size: self.sector_size,
            uuid: request.uuid.map(str::to_owned),
            label: text(request.label),
            subsystem: text(request.subsystem),
            // Zero means the default.
            metadata_size: request.metadata_size.filter(|&size| size > Bytes::ZERO),
            keyslots_size: request.keyslots_size.filter(|&size| size > Bytes::ZERO),
            data: self.place.luks2()?,
            digest_hash: hash,
            digest_iterations: request.cost.digest_iterations(hash, hash.output_len())?,
        };
        luks2::Header::create(&params, key, changing.limits).map_err(|error| match error {
            Error::BadParameter {
                field: "metadata size" | "keyslots size",
                ..
            } => FormatError::AreaSizes(error).into(),
            Error::BadParameter {
                field: "data offset", ..
            } => FormatError::DataOffsetTooSmall(Version::Luks2).into(),
            error => error.into(),
        })
    }

    /// The end of an image's data, in whole sectors, if it is known.
    pub(super) fn image_end(&self, data_offset: Bytes) -> Option<Bytes> {
        let FormatTarget::Image { size: Some(size), .. } = self.request.target else {
            return None;
        };
        let sectors = size.get().checked_next_multiple_of(self.sector_size.into())?;
        data_offset.checked_add(Bytes::new(sectors))
    }

    /// An image that does not fit on a device is refused before the first prompt or write.
    fn check_image_fits(&self, data_offset: Bytes) -> Result<(), CryptError> {
        let FormatTarget::Image { held: Some(held), .. } = self.request.target else {
            return Ok(());
        };
        match self.image_end(data_offset) {
            Some(needed) => check_room(held, self.request.device, needed),
            None => Ok(()),
        }
    }

    fn tell_keyslots_size(&self, changing: &Changing<'_>, header: &luks2::Header) {
        const FEW_KEYSLOTS: Bytes = Bytes::mib(4);
        let size = header.metadata().config.keyslots_size;
        let few = FEW_KEYSLOTS.checked_sub(header.binary().hdr_size).unwrap_or_default();
        if size < few.min(Bytes::mib(2)) {
            changing.observer.notice(Event::FewKeyslots { size });
        }
        let asked = self.request.keyslots_size.filter(|&size| size > Bytes::ZERO);
        if asked.is_some_and(|asked| asked != size) {
            changing.observer.notice(Event::KeyslotsAreaSize { size });
        }
    }
}
