//! Luksmith: LUKS volumes and device-mapper devices.
