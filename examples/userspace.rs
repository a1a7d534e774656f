//! From a passphrase to the data of a LUKS volume, without the device-mapper and without root: shows the first bytes of the
//! file `VOLUME` that the passphrase in the file `KEY` opens.
//!
//! `cargo run --example userspace VOLUME KEY`

use std::error::Error;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use keyslots::header::Header;
use keyslots::kdf::CostLimits;
use keyslots::luks2::Candidates;
use keyslots::secret::{Passphrase, Secret};
use luksmith::userspace::{Access, Volume, VolumeOptions, open_device};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), Some(key_file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: userspace VOLUME KEY".into());
    };
    let mut device = open_device(Path::new(&path), Access::Read)?;
    let header = Header::read(&mut device)?;
    let layout = header.data().ok_or("the volume has no data that dm-crypt could map")?;

    let mut key_file = File::open(key_file)?;
    let mut passphrase = Secret::zeroed(key_file.metadata()?.len().try_into()?)?;
    key_file.read_exact(passphrase.expose_mut())?;
    let passphrase = Passphrase::new(passphrase);
    let unlocked = header.unlock(&mut device, &passphrase, Candidates::All, &CostLimits::default())?;

    let mut volume = Volume::new(device, &layout, &unlocked.volume_key, VolumeOptions::new(Access::Read))?;
    let mut start = [0; 64];
    volume.seek(SeekFrom::Start(0))?;
    volume.read_exact(&mut start)?;
    println!("{} of data, which start with {start:02x?}", volume.size());
    Ok(())
}
