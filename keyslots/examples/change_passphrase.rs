//! Changes a passphrase of a volume in an image, LUKS1 or LUKS2. Nobody else may write to the image meanwhile.
//!
//! ```text
//! cargo run --release -p keyslots --example change_passphrase -- IMAGE OLD_KEY_FILE NEW_KEY_FILE
//! ```

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};

use keyslots::hash::Hash;
use keyslots::header::Header;
use keyslots::kdf::{CostLimits, Kdf};
use keyslots::luks1::ChangeTo;
use keyslots::luks2::{Candidates, NewKeyslot};
use keyslots::secret::{Passphrase, Secret};
use keyslots::storage::Storage;
use keyslots::units::Bytes;
use keyslots::wipe::Medium;

/// Of PBKDF2: right for a key file with random bytes. A person's passphrase needs more, see `keyslots::kdf`.
const ITERATIONS: u32 = 600_000;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [image, old, new] = words.as_slice() else {
        return Err("usage: change_passphrase IMAGE OLD_KEY_FILE NEW_KEY_FILE".into());
    };
    let (old, new) = (read(old)?, read(new)?);
    let limits = CostLimits::default();
    let mut image = OpenOptions::new().read(true).write(true).open(image)?;
    let mut header = Header::read(&mut image)?;
    let unlocked = header.unlock(&mut image, &old, Candidates::All, &limits)?;
    let (slot, key) = (unlocked.keyslot, unlocked.volume_key);
    let slot = match &mut header {
        Header::Luks1(header) => {
            let seal = || header.seal(&key, &new, ITERATIONS, &limits);
            // By way of a free keyslot, so that one is whole at every moment.
            let (new, back) = (&seal()?, &seal()?);
            header.change_keyslot(&mut image, slot, ChangeTo::SameSlot { new, back }, Medium::Other)?
        }
        Header::Luks2(header) => {
            let hash = Hash::Sha256;
            let keyslot = NewKeyslot {
                kdf: Kdf::Pbkdf2 {
                    hash,
                    iterations: ITERATIONS,
                },
                af_hash: hash,
                encryption: "aes-xts-plain64".parse()?,
                area_key_size: 64,
                priority: None,
            };
            let sealed = keyslot.seal(&key, &new, &limits)?;
            let mut change = header.begin()?;
            change.change_keyslot(slot, &sealed, &key, &limits)?;
            change.commit(&mut image, Medium::Other)?;
            slot
        }
    };
    println!("Keyslot {slot} has the new passphrase.");
    Ok(())
}

fn read(path: &OsStr) -> Result<Passphrase, Box<dyn Error>> {
    let mut file = File::open(path)?;
    let mut secret = Secret::zeroed(file.size()?.to_usize().ok_or("the key file is too large")?)?;
    file.read_at(Bytes::ZERO, secret.expose_mut())?;
    Ok(Passphrase::new(secret))
}
