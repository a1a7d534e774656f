//! A volume without the device-mapper: this program itself reads and writes its plaintext.
//!
//! [`Volume`] needs no root, no kernel module and no trust of the kernel in the data on the device: only a file that can
//! be opened. dm-crypt reads what it writes, and the other way round. Headers and passphrases are not its business; see
//! `examples/userspace.rs` for the whole way from a passphrase to the data.
//!
//! ```
//! use std::io::{Read, Seek, SeekFrom, Write};
//!
//! use keyslots::cipher::CipherName;
//! use keyslots::header::DataLayout;
//! use keyslots::secret::VolumeKey;
//! use keyslots::units::Sectors;
//! use luksmith::userspace::{Access, Volume, VolumeOptions, open_device};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let container = tempfile::NamedTempFile::new()?;
//! # container.as_file().set_len(1 << 20)?;
//! # let path = container.path();
//! // `keyslots::Header::data` has the layout, `keyslots::Header::unlock` the key.
//! let layout = DataLayout {
//!     cipher: CipherName::new("aes-xts-plain64"),
//!     sector_size: 4096,
//!     offset: Sectors::new(8),
//!     size: None,
//!     iv_offset: Sectors::ZERO,
//! };
//! let key = VolumeKey::random(64)?;
//! let device = open_device(path, Access::Write)?;
//! let mut volume = Volume::new(device, &layout, &key, VolumeOptions::new(Access::Write))?;
//! assert_eq!(volume.size().get(), (1 << 20) - 4096);
//!
//! volume.seek(SeekFrom::Start(5000))?;
//! volume.write_all(b"any bytes, anywhere")?;
//! volume.sync()?;
//!
//! let mut back = [0; 19];
//! volume.seek(SeekFrom::Start(5000))?;
//! volume.read_exact(&mut back)?;
//! assert_eq!(&back, b"any bytes, anywhere");
//! # Ok(())
//! # }
//! ```

mod description;
mod device;
mod error;
mod fuse;
mod parallel;
mod pump;
mod ranges;
mod sequential;
mod served;
mod server;
mod space;
mod span;
mod stream;
#[cfg(test)]
mod tests;
mod volume;

pub use description::Description;
pub use device::{Access, claim_device, open_device};
pub use error::{ServeError, UserspaceError};
pub use pump::{PUMP_CHUNK, PumpError, Stop, Stoppable, pump, read_full};
pub use sequential::Sequential;
pub use served::{Registry, RegistryLock, Served, check_name};
pub use server::{SERVE_WORD, serve, start};
pub use volume::{Volume, VolumeOptions};
