//! Repairable problems of a header, and their repair.

use keyslots::Error;
use keyslots::KeyslotId;
use keyslots::entropy::Suspect;
use keyslots::header::{Header, Version};
use keyslots::luks1::{Fix, Repair};
use keyslots::luks2;
use keyslots::luks2::copies::OtherCopy;
use keyslots::luks2::format::Which;
use keyslots::storage::Storage;

use super::{Changing, CryptError, Event, Others};
use crate::block_device::signatures::Signature;
use crate::header_backup::BackupError;
use crate::header_device::{HeaderDevice, HeaderError, Wanted};

/// A problem that can be repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A copy of a LUKS2 header is older than the other.
    StaleCopy(Which),
    /// A copy of a LUKS2 header is damaged.
    DamagedCopy {
        /// Which.
        which: Which,
        /// The defect.
        defect: String,
    },
    /// The damaged copy was overwritten by other data, whose owner may lose them.
    Foreign(Signature),
    /// The metadata of LUKS2 have members that older programs left behind.
    Leftovers,
    /// A field of a LUKS1 header.
    Luks1(Fix),
}

/// The state of a header.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// The problems that would be repaired.
    pub problems: Vec<Problem>,
    /// Keyslots whose areas may have been overwritten; empty if the header cannot be read.
    pub suspects: Vec<Suspect>,
    /// Keyslots whose passphrase change was interrupted.
    pub unfinished: Vec<KeyslotId>,
    /// Whether it is marked for a reencryption, which no repair finishes.
    pub in_reencryption: bool,
    /// Its version; `None` where it cannot be read.
    pub version: Option<Version>,
}

/// Looks at the header of a device for what could be repaired. Reads only.
///
/// # Errors
/// [`HeaderError::NotLuks`] if there is no trace of a header of the wanted version.
pub fn examine(device: &HeaderDevice, wanted: Wanted) -> Result<Diagnosis, CryptError> {
    let mut opened = device.open(false)?;
    device.shared(&mut opened, |storage| {
        let problems = diagnose(storage, device, wanted)?;
        let Ok(header) = Header::read(storage) else {
            return Ok(Diagnosis {
                problems,
                ..Diagnosis::default()
            });
        };
        Ok(Diagnosis {
            problems,
            suspects: header.suspect_keyslots(storage)?,
            unfinished: header.unfinished_changes(storage)?,
            in_reencryption: header.luks2().is_some_and(luks2::Header::in_reencryption),
            version: Some(header.version()),
        })
    })
}

fn diagnose(storage: &mut dyn Storage, device: &HeaderDevice, wanted: Wanted) -> Result<Vec<Problem>, CryptError> {
    match Header::read(storage) {
        Ok(Header::Luks2(header)) if wanted.takes(Version::Luks2) => {
            let mut found = Vec::new();
            match header.other_copy() {
                OtherCopy::Agrees => {}
                OtherCopy::Stale(which) => found.push(Problem::StaleCopy(*which)),
                OtherCopy::Damaged(which, defect) => {
                    found.push(Problem::DamagedCopy {
                        which: *which,
                        defect: defect.to_string(),
                    });
                    found.extend(device.foreign_over(&header, storage)?.map(Problem::Foreign));
                }
            }
            if header.has_leftovers(storage)? {
                found.push(Problem::Leftovers);
            }
            Ok(found)
        }
        Ok(Header::Luks1(_)) | Err(Error::Luks1(_)) if wanted.takes(Version::Luks1) => {
            let repair = Repair::diagnose(storage)?;
            Ok(repair.fixes().iter().cloned().map(Problem::Luks1).collect())
        }
        Err(error @ Error::Io { .. }) => Err(error.into()),
        _ => Err(HeaderError::NotLuks {
            path: device.path().to_owned(),
            wanted,
        }
        .into()),
    }
}

/// Repairs the problems that the user agreed to, and nothing else.
///
/// # Errors
/// [`CryptError`]; [`Error::ChangedMeanwhile`] where the problems have changed.
pub fn mend(
    changing: &Changing<'_>,
    device: &HeaderDevice,
    wanted: Wanted,
    agreed: &[Problem],
) -> Result<(), CryptError> {
    changing.exclusive(device, Others::May, |file, was_luks1| {
        if diagnose(file, device, wanted)? != agreed {
            return Err(Error::ChangedMeanwhile.into());
        }
        let there = match Header::read(file) {
            Ok(header) => {
                changing.back_up(&header, file)?;
                Ok(header)
            }
            // A header that cannot be read cannot be backed up either: without the requested backup, nothing is
            // repaired.
            Err(error) if changing.backup.is_some() => return Err(BackupError::Unreadable(error).into()),
            unreadable => unreadable,
        };
        match there {
            Ok(Header::Luks2(mut header)) => {
                header.recover(file)?;
                if header.has_leftovers(file)? {
                    header.write(file)?;
                }
            }
            _ => {
                changing.observer.notice(Event::RewritingHeader);
                let repaired = Repair::diagnose(file)?.write(file)?;
                if was_luks1 {
                    changing.look_again(device, file, &Header::Luks1(repaired), None)?;
                }
            }
        }
        Ok(())
    })
}
