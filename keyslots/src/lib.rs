//! LUKS1 and LUKS2 headers: read, validate, unlock, change.
//!
//! LUKS is the format of encrypted volumes on Linux. A *header* at the start of a device, or in a file of its own, says how the
//! data are encrypted, and has *keyslots*: in each the *volume key*, which encrypts the data, is itself encrypted under a
//! passphrase. This crate reads and writes headers, and computes their key derivation functions and ciphers. It needs no root,
//! no kernel module and no terminal, and opens nothing by itself: whatever implements [`storage::Storage`] is a device, such as
//! a [`std::fs::File`] or, in the examples below, a [`storage::Memory`]. It takes no locks either: hold one while you write.
//!
//! | to | look at |
//! |---|---|
//! | read a header of either version | [`header::Header`], [`luks1::Header`], [`luks2::Header`] |
//! | unlock it | [`header::Header::unlock`], which returns [`Unlocked`] |
//! | read or write the data | [`header::Header::layout`], [`header::Layout::single`], [`cipher::SectorCipher`] |
//! | make a volume | [`luks1::Header::create`], [`luks2::Header::create`] |
//! | add, change and remove keyslots | [`luks2::Transaction`], the methods of [`luks1::Header`] and [`luks2::Header`] |
//! | back a header up, restore it, convert it | [`luks2::Header::backup`], [`backup::Backup`], [`convert`] |
//! | keep keys and passphrases out of swap and logs | [`secret`] |
//! | choose costs, and refuse absurd ones | [`kdf`] |
//!
//! Each function that writes has an order of writes and syncs that survives a kill or a power failure at any point: the old or
//! the new passphrase opens the volume. [`storage::fault`] is how the tests show that.
//!
//! # Inspect a header
//!
//! ```
//! use keyslots::header::Header;
//! # use keyslots::secret::{Passphrase, Secret};
//! # use keyslots::storage::Memory;
//! # use keyslots::hash::Hash;
//! # use keyslots::kdf::Kdf;
//! # use keyslots::luks2::{self, CreateParams, DataPlacement, NewKeyslot};
//! # use keyslots::secret::VolumeKey;
//! # use keyslots::units::Bytes;
//! # use keyslots::wipe::Medium;
//! # fn volume() -> Result<Memory, Box<dyn std::error::Error>> {
//! #     let params = CreateParams {
//! #         encryption: "aes-xts-plain64".into(), sector_size: 512, uuid: None, label: String::new(),
//! #         subsystem: String::new(), metadata_size: None, keyslots_size: Some(Bytes::kib(512)),
//! #         data: DataPlacement::At(Bytes::mib(1)), digest_hash: Hash::Sha256, digest_iterations: 1000,
//! #     };
//! #     let (key, limits) = (VolumeKey::random(64)?, Default::default());
//! #     let mut device = Memory::zeroed(1 << 21);
//! #     let mut header = luks2::Header::create(&params, &key, &limits)?;
//! #     header.write_new(&mut device, Medium::Other)?;
//! #     let new = NewKeyslot {
//! #         kdf: Kdf::Pbkdf2 { hash: Hash::Sha256, iterations: 1000 }, af_hash: Hash::Sha256,
//! #         encryption: "aes-xts-plain64".parse()?, area_key_size: 64, priority: None,
//! #     };
//! #     let passphrase = Passphrase::new(Secret::copy_from(b"correct horse")?);
//! #     let sealed = new.seal(&key, &passphrase, &limits)?;
//! #     let mut change = header.begin()?;
//! #     change.add_keyslot(None, &sealed, &key, &limits)?;
//! #     change.commit(&mut device, Medium::Other)?;
//! #     Ok(device)
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut device = volume()?;
//!
//! let header = Header::read(&mut device)?;
//! println!("{:?} {}", header.version(), header.uuid());
//! for slot in header.used_keyslots() {
//!     println!("keyslot {slot}: {:?}", header.derivations(Some(slot)));
//! }
//! let data = header.layout().single()?;
//! println!("{} from sector {}", data.cipher.as_str(), data.offset.get());
//! # assert_eq!((header.used_keyslots(), data.offset.get()), (vec![keyslots::KeyslotId::new(0)], 2048));
//! # Ok(())
//! # }
//! ```
//!
//! # Unlock and read
//!
//! ```
//! use keyslots::cipher::SectorCipher;
//! use keyslots::header::Header;
//! use keyslots::kdf::CostLimits;
//! use keyslots::luks2::Candidates;
//! use keyslots::secret::{Passphrase, Secret};
//! use keyslots::storage::{Memory, Storage};
//! # use keyslots::hash::Hash;
//! # use keyslots::kdf::Kdf;
//! # use keyslots::luks2::{self, CreateParams, DataPlacement, NewKeyslot};
//! # use keyslots::secret::VolumeKey;
//! # use keyslots::units::Bytes;
//! # use keyslots::wipe::Medium;
//! # fn volume() -> Result<Memory, Box<dyn std::error::Error>> {
//! #     let params = CreateParams {
//! #         encryption: "aes-xts-plain64".into(), sector_size: 512, uuid: None, label: String::new(),
//! #         subsystem: String::new(), metadata_size: None, keyslots_size: Some(Bytes::kib(512)),
//! #         data: DataPlacement::At(Bytes::mib(1)), digest_hash: Hash::Sha256, digest_iterations: 1000,
//! #     };
//! #     let (key, limits) = (VolumeKey::random(64)?, Default::default());
//! #     let mut device = Memory::zeroed(1 << 21);
//! #     let mut header = luks2::Header::create(&params, &key, &limits)?;
//! #     header.write_new(&mut device, Medium::Other)?;
//! #     let new = NewKeyslot {
//! #         kdf: Kdf::Pbkdf2 { hash: Hash::Sha256, iterations: 1000 }, af_hash: Hash::Sha256,
//! #         encryption: "aes-xts-plain64".parse()?, area_key_size: 64, priority: None,
//! #     };
//! #     let passphrase = Passphrase::new(Secret::copy_from(b"correct horse")?);
//! #     let sealed = new.seal(&key, &passphrase, &limits)?;
//! #     let mut change = header.begin()?;
//! #     change.add_keyslot(None, &sealed, &key, &limits)?;
//! #     change.commit(&mut device, Medium::Other)?;
//! #     Ok(device)
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut device = volume()?;
//!
//! let header = Header::read(&mut device)?;
//! let passphrase = Passphrase::new(Secret::copy_from(b"correct horse")?);
//! // A header can ask for hours of work or all of the memory: these are the limits.
//! let limits = CostLimits::default();
//! let unlocked = header.unlock(&mut device, &passphrase, Candidates::All, &limits)?;
//!
//! let data = header.layout().single()?;
//! let size = data.sector_size as usize;
//! let cipher = SectorCipher::new(data.cipher.spec()?, unlocked.volume_key.expose(), size, false)?;
//! let mut sector = Secret::zeroed(size)?;
//! device.read_at(data.offset.bytes().ok_or("too far")?, sector.expose_mut())?;
//! cipher.decrypt(data.iv_offset.get(), sector.expose_mut())?;
//! # let mut back = sector.expose().to_vec();
//! # cipher.encrypt(0, &mut back)?;
//! # assert_eq!(back, [0; 512]);
//! # Ok(())
//! # }
//! ```
//!
//! # Make a volume and add a keyslot
//!
//! ```
//! use keyslots::hash::Hash;
//! use keyslots::kdf::{CostLimits, Kdf};
//! use keyslots::luks2::{self, CreateParams, DataPlacement, NewKeyslot};
//! use keyslots::secret::{Passphrase, Secret, VolumeKey};
//! use keyslots::storage::Memory;
//! use keyslots::units::Bytes;
//! use keyslots::wipe::Medium;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let mut device = Memory::zeroed(1 << 21);
//! let (key, limits) = (VolumeKey::random(64)?, CostLimits::default());
//! let params = CreateParams {
//!     encryption: "aes-xts-plain64".into(),
//!     sector_size: 512,
//!     uuid: None,
//!     label: "backups".into(),
//!     subsystem: String::new(),
//!     metadata_size: None,
//!     keyslots_size: None,
//!     data: DataPlacement::At(Bytes::mib(1)),
//!     digest_hash: Hash::Sha256,
//!     digest_iterations: 1000,
//! };
//! let mut header = luks2::Header::create(&params, &key, &limits)?;
//! header.write_new(&mut device, Medium::Other)?;
//!
//! let new = NewKeyslot {
//!     // For a person's passphrase: Argon2id with costs that `kdf` measures. This is for a test.
//!     kdf: Kdf::Pbkdf2 { hash: Hash::Sha256, iterations: 1000 },
//!     af_hash: Hash::Sha256,
//!     encryption: "aes-xts-plain64".parse()?,
//!     area_key_size: 64,
//!     priority: None,
//! };
//! for text in ["correct horse", "battery staple"] {
//!     let passphrase = Passphrase::new(Secret::copy_from(text.as_bytes())?);
//!     // The slow part, before any lock is taken.
//!     let sealed = new.seal(&key, &passphrase, &limits)?;
//!     let mut change = header.begin()?;
//!     change.add_keyslot(None, &sealed, &key, &limits)?;
//!     change.commit(&mut device, Medium::Other)?;
//! }
//! assert_eq!(luks2::Header::read(&mut device)?.metadata().keyslots.len(), 2);
//! # Ok(())
//! # }
//! ```

pub mod af;
pub mod backup;
pub mod cipher;
pub mod convert;
pub mod entropy;
mod error;
pub mod hash;
pub mod header;
pub mod kdf;
mod keyslot_id;
mod layout;
pub mod luks1;
pub mod luks2;
pub mod material;
pub mod secret;
mod shown;
pub mod storage;
pub mod units;
mod unlocked;
pub mod uuid;
mod version;
pub mod wipe;

pub use error::{Error, Result};
pub use keyslot_id::KeyslotId;
pub use unlocked::Unlocked;
