//! Unlocks a volume in a file or on a device with a key file, and says which keyslot opened and how long it took.
//!
//! ```text
//! cargo run --release --example unlock -- VOLUME KEY_FILE
//! ```

use std::error::Error;
use std::fs::File;
use std::time::Instant;

use keyslots::header::Header;
use keyslots::kdf::CostLimits;
use keyslots::luks2::Candidates;
use keyslots::secret::{Passphrase, Secret};
use keyslots::storage::Storage;
use keyslots::units::Bytes;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(volume), Some(key_file), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: unlock VOLUME KEY_FILE".into());
    };
    let mut key_file = File::open(key_file)?;
    let mut secret = Secret::zeroed(key_file.size()?.to_usize().ok_or("the key file is too large")?)?;
    key_file.read_at(Bytes::ZERO, secret.expose_mut())?;

    let start = Instant::now();
    let mut storage = File::open(volume)?;
    let header = Header::read(&mut storage)?;
    let unlocked = header.unlock(
        &mut storage,
        &Passphrase::new(secret),
        Candidates::All,
        &CostLimits::default(),
    )?;
    println!(
        "keyslot {} opened in {:.3} s: a volume key of {} bytes",
        unlocked.keyslot,
        start.elapsed().as_secs_f64(),
        unlocked.volume_key.len()
    );
    Ok(())
}
