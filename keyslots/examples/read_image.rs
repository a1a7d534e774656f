//! Unlocks the volume in an image and writes a part of its data to standard output, without the kernel.
//!
//! ```text
//! cargo run --release -p keyslots --example read_image -- IMAGE KEY_FILE FIRST_SECTOR SECTORS
//! ```

use std::error::Error;
use std::fs::File;
use std::io::Write as _;

use keyslots::cipher::SectorCipher;
use keyslots::header::Header;
use keyslots::kdf::CostLimits;
use keyslots::luks2::Candidates;
use keyslots::secret::{Passphrase, Secret};
use keyslots::storage::Storage;
use keyslots::units::{Bytes, Sectors};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [image, key_file, first, count] = words.as_slice() else {
        return Err("usage: read_image IMAGE KEY_FILE FIRST_SECTOR SECTORS".into());
    };
    let (first, count): (u64, u64) = (first.parse()?, count.parse()?);

    let mut key_file = File::open(key_file)?;
    let mut secret = Secret::zeroed(key_file.size()?.to_usize().ok_or("the key file is too large")?)?;
    key_file.read_at(Bytes::ZERO, secret.expose_mut())?;
    let mut image = File::open(image)?;
    let header = Header::read(&mut image)?;
    let passphrase = Passphrase::new(secret);
    let unlocked = header.unlock(&mut image, &passphrase, Candidates::All, &CostLimits::default())?;

    let data = header.layout().single()?;
    let size = data.sector_size as usize;
    // A sector of the volume may be several of the 512 bytes in which offsets and IVs are counted.
    let step = u64::from(data.sector_size / 512);
    let cipher = SectorCipher::new(data.cipher.spec()?, unlocked.volume_key.expose(), size, false)?;
    let mut sector = Secret::zeroed(size)?;
    for number in (first..).take(usize::try_from(count)?) {
        let offset = number.checked_mul(step).map(Sectors::new).ok_or("no such sector")?;
        let place = data.offset.checked_add(offset).and_then(Sectors::bytes);
        image.read_at(place.ok_or("no such sector")?, sector.expose_mut())?;
        cipher.decrypt(data.iv_offset.get().wrapping_add(offset.get()), sector.expose_mut())?;
        std::io::stdout().write_all(sector.expose())?;
    }
    Ok(())
}
