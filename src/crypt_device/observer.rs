//! The events of an operation.

use std::fmt;
use std::path::Path;

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
        keyslot: u32,
    },
    /// A header is written anew as a whole.
    RewritingHeader,
    /// A keyslot was unlocked.
    Unlocked {
        /// Which.
        keyslot: u32,
    },
    /// An interrupted change of a keyslot's passphrase was finished, since its new passphrase was used.
    ChangeFinished {
        /// The keyslot.
        keyslot: u32,
    },
    /// An interrupted change could not be finished; the passphrase opens the keyslot as before.
    ChangeNotFinished {
        /// The keyslot.
        keyslot: u32,
        /// The reason.
        error: &'a HeaderError,
    },
    /// Changes of these keyslots' passphrases were interrupted, and wait for the use of their new passphrases.
    ChangesInterrupted {
        /// The keyslots.
        keyslots: &'a [u32],
    },
}

/// Receives events. It must not fail, and should not take long.
pub trait Observer: fmt::Debug {
    /// Receives one event.
    fn notice(&self, event: Event<'_>);
}
