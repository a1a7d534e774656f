//! Luksmith: LUKS volumes and device-mapper devices.

pub mod block_device;
pub mod cli;
pub mod dm;
pub mod passphrase;
