//! Reencryption: the data of a volume change their encryption zone by zone. No kill or power failure loses any, except with
//! [`Guard::None`].
//!
//! The metadata say at every moment which part of the data is encrypted how, in the same way as cryptsetup's, so that either
//! program continues what the other began. [`Status::read`] reads them, a [`Plan`] applies them to a data device of
//! a certain size, and a [`Driver`] converts the data:
//! 1. what is needed to recover a zone is written to the area of the reencryption's keyslot, and synced;
//! 2. both copies of the header say that the zone is being converted;
//! 3. the zone is converted where it is, or to where it belongs, and synced;
//! 4. both copies of the header say that it is converted. At the last zone this drops all that the reencryption needed, the keyslots
//!    of the old key too.
//!
//! What an interruption left is recovered by the next step. Only cryptsetup can stop with all data converted and the
//! old key still in the metadata ([`State::Finished`]); [`finish()`] ends that, and a wipe of plaintext that was interrupted
//! ([`State::Wiping`]). Where cryptsetup would lose the data of a state, the header has a requirement of this crate's own
//! ([`Requirement::Wipe`], [`Requirement::Last`]), and cryptsetup refuses the volume.
//!
//! Several cores: a [`Codec`] may split what it gets between threads, and zones that come later may be read and prepared
//! ([`Plan::prepare`]) while one is written ([`Driver::step_prepared`]). Not for: devices in use, beyond what an [`Observer`] is told.
//!
//! # Change the volume key
//!
//! ```
//! use keyslots::KeyslotId;
//! use keyslots::hash::Hash;
//! use keyslots::luks2::reencrypt::{
//!     self, Ciphers, Direction, Disks, Driver, Guard, Method, Mode, Next, Start, VolumeKeys, ZoneLimits,
//! };
//! use keyslots::luks2::{Digest, Header};
//! use keyslots::secret::{Passphrase, Secret, VolumeKey};
//! use keyslots::units::Bytes;
//! use keyslots::wipe::Medium;
//! # use keyslots::kdf::Kdf;
//! # use keyslots::luks2::{self, CreateParams, DataPlacement, NewKeyslot};
//! # use keyslots::storage::Memory;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let limits = Default::default();
//! # let params = CreateParams {
//! #     encryption: "aes-xts-plain64".into(), sector_size: 512, uuid: None, label: String::new(),
//! #     subsystem: String::new(), metadata_size: None, keyslots_size: None,
//! #     data: DataPlacement::At(Bytes::mib(1)), digest_hash: Hash::Sha256, digest_iterations: 1000,
//! # };
//! # let new_keyslot = NewKeyslot {
//! #     kdf: Kdf::Pbkdf2 { hash: Hash::Sha256, iterations: 1000 }, af_hash: Hash::Sha256,
//! #     encryption: "aes-xts-plain64".parse()?, area_key_size: 64, priority: None,
//! # };
//! # let mut device = Memory::zeroed(2 << 20);
//! # let mut header = {
//! #     let key = VolumeKey::random(64)?;
//! #     let mut header = Header::create(&params, &key, &limits)?;
//! #     header.write_new(&mut device, Medium::Other)?;
//! #     let passphrase = Passphrase::new(Secret::copy_from(b"correct horse")?);
//! #     let sealed = new_keyslot.seal(&key, &passphrase, &limits)?;
//! #     let mut change = header.begin()?;
//! #     change.add_keyslot(None, &sealed, &key, &limits)?;
//! #     change.commit(&mut device, Medium::Other)?;
//! #     header
//! # };
//! # let passphrase = Passphrase::new(Secret::copy_from(b"correct horse")?);
//!
//! // The new key gets its keyslots before it is used.
//! let old = header.unlock(&mut device, &passphrase, luks2::Candidates::All, &limits)?.volume_key;
//! let new = VolumeKey::random(64)?;
//! let sealed = new_keyslot.seal(&new, &passphrase, &limits)?;
//! let mut change = header.begin()?;
//! change.add_unbound_keyslot(None, &sealed, Digest::new(&new, Hash::Sha256, 1000, &limits)?)?;
//! change.commit(&mut device, Medium::Other)?;
//! let keys = VolumeKeys { old: Some(old), new: Some(new) };
//!
//! let mut disks = Disks::attached(&mut device);
//! let start = Start {
//!     mode: Mode::Reencrypt,
//!     direction: Direction::Forward,
//!     guard: Guard::Checksum { hash: Hash::Sha256.into(), block: 512 },
//!     block: Bytes::new(512),
//!     size: None,
//!     shift: None,
//!     encryption: None,
//!     digest_hash: Hash::Sha256,
//!     digest_iterations: 1000,
//! };
//! reencrypt::begin(&mut header, &mut disks, &start, &keys, &limits)?;
//!
//! let verified = reencrypt::verify(&header, &keys, &limits)?;
//! let ciphers = Ciphers::new(verified.reencryption(), &keys)?;
//! let method = Method {
//!     codec: &ciphers,
//!     zones: ZoneLimits::default(),
//!     medium: Medium::Other,
//!     verify: true,
//!     observer: &(),
//! };
//! let mut driver = Driver::new(&mut header, &mut disks, verified, method)?;
//! while driver.step(&mut disks)? == Next::Zone {}
//! let header = Header::read(&mut device)?;
//! assert!(!header.in_reencryption());
//! assert_eq!(header.metadata().keyslots.keys().collect::<Vec<_>>(), [&KeyslotId::new(1)]);
//! # Ok(())
//! # }
//! ```

mod commit;
mod convert;
mod digest;
mod driver;
mod finish;
mod guard;
mod init;
mod misplaced;
mod placement;
mod plan;
mod relocate;
mod requirement;
mod resilience;
mod segments;
mod slot;
mod state;

pub use convert::{Ciphers, Codec, Disks, HeaderLock};
pub use digest::{Verified, VolumeKeys, make_digest, unlock, verification_input, verify};
pub use driver::{Driver, Method, Moment, Next, Observer};
pub use finish::{Proof, finish, wipe_unreferenced};
pub use guard::{NewGuard, change_guard};
pub use init::{Start, begin};
pub use placement::Placement;
pub use plan::{Plan, Progress, Zone, ZoneLimits};
pub use relocate::{export, install, interrupted_install};
pub(super) use requirement::is_online;
pub use requirement::{Requirement, Version};
pub use resilience::Prepared;
pub use slot::{Direction, Guard, Mode, ReencryptKeyslot, Resilience};
pub use state::{Part, Reencryption, State, Status};
