//! Luksmith: LUKS volumes and device-mapper devices.

pub mod block_device;
pub mod boot;
pub mod console;
pub mod crypt_device;
pub mod cryptsetup;
pub mod data_device;
pub mod defaults;
mod descriptors;
pub mod dm;
pub mod dmsetup;
pub mod header_backup;
pub mod header_device;
pub mod keyring;
pub mod locks;
pub mod log;
pub mod manual;
pub mod mapping;
pub mod multicall;
pub mod passphrase;
pub mod policy;
pub mod same_bytes;
pub mod slot_names;
pub(crate) mod terminal_text;
pub mod unfinished;
pub mod userspace;
pub mod volume;
