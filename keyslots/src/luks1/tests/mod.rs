//! Common code for the tests of LUKS1 as a whole. Each file has one subject.

mod backup;
mod crash;
mod create;
mod keyslots;
mod known_answers;
mod repair;
mod restore;
mod rules;
mod staged;
mod written;

use std::sync::LazyLock;

use super::{ChangeTo, CreateParams, DataPlacement, Header, RawHeader, STATE_ACTIVE};
use crate::KeyslotId;
use crate::cipher::CipherSpec;
use crate::error::Result;
use crate::hash::Hash;
use crate::kdf::CostLimits;
use crate::secret::{Passphrase, Secret, VolumeKey};
use crate::storage::{Memory, Storage};
use crate::wipe::Medium;

/// The minimum that may be written.
pub(super) const ITERATIONS: u32 = 1000;
pub(super) const KEY: &[u8; 16] = b"0123456789abcdef";
/// End of the key material of eight keyslots with a key of 16 bytes, in sectors.
pub(super) const END: u64 = 1032;

/// Passphrases for all keyslots.
pub(super) const FULL: [(u32, &str); 8] = [
    (0, "a"),
    (1, "b"),
    (2, "c"),
    (3, "d"),
    (4, "e"),
    (5, "f"),
    (6, "g"),
    (7, "h"),
];

pub(super) fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Secret::copy_from(text.as_bytes()).expect("a page"))
}

pub(super) fn key(bytes: &[u8]) -> VolumeKey {
    VolumeKey::new(Secret::copy_from(bytes).expect("a page"))
}

pub(super) fn limits() -> CostLimits {
    CostLimits::default()
}

/// A header for [`KEY`], without a keyslot.
pub(super) fn header(data: DataPlacement) -> Header {
    let cipher: CipherSpec = "aes-cbc-essiv:sha256".parse().expect("a known cipher");
    let params = CreateParams {
        cipher: &cipher,
        hash: Hash::Sha256,
        uuid: None,
        digest_iterations: ITERATIONS,
        data,
    };
    Header::create(&params, &key(KEY), &limits()).expect("these parameters are good")
}

/// A volume whose passphrases open the keyslots of these numbers.
pub(super) fn volume(passphrases: &[(u32, &str)]) -> (Memory, Header) {
    let mut header = header(DataPlacement::Aligned(super::DEFAULT_ALIGNMENT));
    let mut disk = Memory::zeroed(2048 * 512 + 4096);
    header
        .write_new(&mut disk, Default::default())
        .expect("memory can be written");
    for &(slot, text) in passphrases {
        add(&mut header, &mut disk, text, Some(KeyslotId::new(slot))).expect("the slot is free");
    }
    (disk, header)
}

pub(super) fn add(
    header: &mut Header,
    disk: &mut dyn Storage,
    text: &str,
    slot: Option<KeyslotId>,
) -> Result<KeyslotId> {
    let sealed = header.seal(&key(KEY), &passphrase(text), ITERATIONS, &limits())?;
    header.add_keyslot(disk, slot, &sealed)
}

/// Gives keyslot `slot` the passphrase `text`; in the first free keyslot, unless it `stays` where it is.
pub(super) fn change(
    header: &mut Header,
    disk: &mut dyn Storage,
    (slot, text): (u32, &str),
    stays: bool,
    medium: Medium,
) -> Result<KeyslotId> {
    let seal = || header.seal(&key(KEY), &passphrase(text), ITERATIONS, &limits());
    let (new, back) = (&seal()?, &seal()?);
    let to = match stays {
        true => ChangeTo::SameSlot { new, back },
        false => ChangeTo::FirstFree(new),
    };
    header.change_keyslot(disk, KeyslotId::new(slot), to, medium)
}

/// The keyslot that the passphrase opens, with a header freshly read and the right key.
pub(super) fn opens(image: &[u8], text: &str) -> Option<u32> {
    let mut disk = Memory(image.to_vec());
    let header = Header::read(&mut disk).ok()?;
    let unlocked = header.unlock(&mut disk, &passphrase(text), None, &limits()).ok()?;
    assert_eq!(unlocked.volume_key.expose(), KEY);
    Some(unlocked.keyslot.get())
}

/// A valid header in which keyslots 0 and 7 are active, to be broken.
pub(super) fn raw() -> RawHeader {
    // Made once: its digest alone takes minutes under Miri.
    static RAW: LazyLock<RawHeader> = LazyLock::new(|| {
        let mut raw = header(DataPlacement::Aligned(super::DEFAULT_ALIGNMENT)).raw().clone();
        for slot in [0, 7] {
            raw.keyslots[slot].state = STATE_ACTIVE;
            raw.keyslots[slot].iterations = ITERATIONS;
            raw.keyslots[slot].salt = [slot as u8 + 1; 32];
        }
        raw
    });
    RAW.clone()
}
