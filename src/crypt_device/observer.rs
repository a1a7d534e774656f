//! The events of an operation.

use std::fmt;
use std::path::Path;

use keyslots::KeyslotId;
use keyslots::units::Bytes;

use crate::block_device::Holder;
use crate::header_device::HeaderError;

/// An event of an operation. Never contains a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A key is being derived, which may take seconds, until [`Event::Derived`].
    Deriving,
    /// The derivation has ended, with or without a key.
    Derived,
    /// A backup of the header was written, before it is changed.
    BackedUp {
        /// The file.
        file: &'a Path,
    },
    /// A program that knows LUKS still has a changed LUKS1 header open, and can write it back as it was.
    OpenElsewhere {
        /// The device with the header.
        path: &'a Path,
        /// The program; `None` where it could not be told whether there is one.
        user: Option<&'a Holder>,
    },
    /// The end of such a program is awaited.
    WaitingFor {
        /// The device with the header.
        path: &'a Path,
        /// The program.
        user: &'a Holder,
    },
    /// Such a program has written an older header over a changed one, and this keyslot was put back into that.
    PutBack {
        /// Which keyslot.
        keyslot: KeyslotId,
        /// Whether the program had a new keyslot of its own there, whose key material is lost.
        over: bool,
    },
    /// Such a program has named a removed keyslot again, and it was taken out of the header again.
    TakenOut {
        /// Which keyslot.
        keyslot: KeyslotId,
    },
    /// The header has no token that may be tried.
    NoUsableToken,
    /// No token opened a keyslot.
    TokensRefused,
    /// A header is written anew as a whole.
    RewritingHeader,
    /// A keyslot was unlocked.
    Unlocked {
        /// Which.
        keyslot: KeyslotId,
    },
    /// An interrupted change of a keyslot's passphrase was finished, since its new passphrase was used.
    ChangeFinished {
        /// The keyslot.
        keyslot: KeyslotId,
    },
    /// An interrupted change could not be finished; the passphrase opens the keyslot as before.
    ChangeNotFinished {
        /// The keyslot.
        keyslot: KeyslotId,
        /// The reason.
        error: &'a HeaderError,
    },
    /// A new keyslot is cheaper than requested, or than the defaults.
    CheaperKeyslot {
        /// How.
        shortfall: Shortfall,
        /// The time that unlocking should take, in milliseconds.
        iter_time_ms: u32,
    },
    /// The keyslots area of a new volume has room for few keyslots.
    FewKeyslots {
        /// Its size.
        size: Bytes,
    },
    /// The keyslots area of a new volume does not have the requested size.
    KeyslotsAreaSize {
        /// Its size.
        size: Bytes,
    },
    /// A new volume's device ends where its data would start.
    NoRoomForData {
        /// The device.
        device: &'a Path,
    },
    /// Changes of these keyslots' passphrases were interrupted, and wait for the use of their new passphrases.
    ChangesInterrupted {
        /// The keyslots.
        keyslots: &'a [KeyslotId],
    },
}

/// How a keyslot is cheaper than requested, or than the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortfall {
    /// It uses less memory: with more, a derivation would take too long.
    Memory {
        /// In KiB.
        kib: u32,
        /// As requested.
        wanted: u32,
    },
    /// It uses less memory than by default: this machine has no more to spare.
    MachineMemory {
        /// In KiB.
        kib: u32,
        /// The default.
        default: u32,
    },
    /// It has fewer lanes: this machine has no more processors.
    Lanes {
        /// The number.
        lanes: u32,
        /// As requested.
        wanted: u32,
    },
    /// It takes less time: its cost is the highest that is opened by default.
    Time,
}

/// Receives events. It must not fail, and should not take long.
pub trait Observer: fmt::Debug {
    /// Receives one event.
    fn notice(&self, event: Event<'_>);
}
