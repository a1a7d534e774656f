//! Backups of headers in files, compared with what is left on the disk.

use std::fs::File;
use std::path::{Path, PathBuf};

use keyslots::KeyslotId;
use keyslots::backup::Backup;
use keyslots::header::Header;
use keyslots::units::Bytes;

use super::content::{self, DataLooks};
use super::found::Found;
use super::scan::Disk;
use super::window::Window;
use crate::crypt_device::open_to_look;

/// A backup that can replace the header at the start of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Usable {
    pub(super) file: PathBuf,
    /// Whether something on the disk says that it is of this volume.
    pub(super) same_volume: bool,
    /// Keyslots that the disk has in another state, or not at all.
    pub(super) changed: Vec<KeyslotId>,
    /// Whether the disk's header was written later.
    pub(super) is_older: bool,
    /// Keyslots of the backup that look intact.
    pub(super) keyslots: Vec<KeyslotId>,
}

/// Looks at one file. `there` is what was found at the start of the disk.
pub(super) fn look(file: &Path, disk: &mut dyn Disk, there: Option<&Found>) -> Option<Usable> {
    let mut source: File = open_to_look(file)
        .ok()
        .filter(|file| file.metadata().is_ok_and(|data| data.is_file()))?;
    let backup = Backup::read(&mut source).ok()?;
    let header = Header::read(&mut source).ok()?;
    let uuid = there.and_then(|found| found.uuid.as_deref());
    let same_volume = match uuid {
        Some(uuid) if uuid != backup.uuid() => return None,
        uuid => uuid.is_some(),
    };
    let size = disk.size().ok()?;
    let readable = there
        .filter(|found| found.is_readable())
        .and_then(|found| found.header.as_ref());
    let plan = backup.check(readable, Some(size)).ok()?;
    if plan.loses_reencryption {
        return None;
    }
    let states = content::keyslots(&header, &mut source);
    let intact = states
        .iter()
        .filter(|keyslot| keyslot.is_for_data && keyslot.is_intact());
    let keyslots: Vec<KeyslotId> = intact.map(|keyslot| keyslot.slot).collect();
    let data = content::data(&header, &mut Window::new(disk, 0, size.get()), size.get())?;
    // Without a header to compare with, the data decide whether it can be of this disk.
    let plausible = match data.looks {
        DataLooks::Encrypted => true,
        DataLooks::Blank | DataLooks::Elsewhere => same_volume,
        DataLooks::Holds(_) | DataLooks::Plain => same_volume,
        DataLooks::Missing => false,
    };
    if keyslots.is_empty() || !plausible {
        return None;
    }
    // A surviving copy tells more than the header that cannot be read.
    let known = there.and_then(|found| found.header.as_ref());
    let changed = match known {
        Some(known) => backup
            .check(Some(known), None::<Bytes>)
            .map_or_else(|_| Vec::new(), |plan| plan.revives),
        None => Vec::new(),
    };
    let seqid = header.luks2().map(|header| header.binary().seqid);
    Some(Usable {
        file: file.to_owned(),
        same_volume,
        changed,
        is_older: seqid < there.and_then(Found::seqid),
        keyslots,
    })
}
