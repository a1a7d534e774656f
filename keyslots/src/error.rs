//! Errors of this crate, one variant per fact; the remedy is up to the caller.

use std::io;

use crate::KeyslotId;
use crate::cipher::CipherError;
use crate::convert::ConvertRefused;
use crate::kdf::KdfError;
use crate::shown::shown;
use crate::units::Bytes;
use crate::{luks1, luks2};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The storage failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// The failed action, as a verb phrase: "read the keyslot area".
        action: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The storage failed so late in the change of a LUKS2 header that the change may be in force: the first copy was
    /// written, but perhaps not synced; or the second copy was not written, or what the change replaced not destroyed; or
    /// key material was destroyed, and the header still names it. Reading the header again shows what is left.
    #[error("{0}; the change may have taken effect nevertheless")]
    HalfWritten(#[source] Box<Error>),
    /// Neither header magic was found.
    #[error("no LUKS header was found")]
    NotLuks,
    /// The magic is right, but the version is neither 1 nor 2.
    #[error("LUKS version {0} is unknown")]
    UnknownVersion(u16),
    /// A LUKS1 header breaks a rule.
    #[error("LUKS1 header: {0}")]
    Luks1(#[from] luks1::Defect),
    /// A LUKS2 header breaks a rule.
    #[error("LUKS2 header: {0}")]
    Luks2(#[from] luks2::Defect),
    /// A key derivation failed or was refused.
    #[error(transparent)]
    Kdf(#[from] KdfError),
    /// A cipher specification or key is unusable.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// A hash name that this crate does not know.
    #[error("hash {0:?} is unknown")]
    UnknownHash(String),
    /// A key derivation function that this crate does not know.
    #[error("key derivation function {0:?} is unknown")]
    UnknownKdf(String),
    /// No keyslot that was tried opens with this passphrase.
    #[error("no keyslot opens with this passphrase")]
    WrongPassphrase,
    /// There is no keyslot that could be tried at all.
    #[error("no usable keyslot")]
    NoUsableKeyslot,
    /// The named keyslot holds nothing.
    #[error("keyslot {0} is not active")]
    KeyslotInactive(KeyslotId),
    /// The named keyslot is taken.
    #[error("keyslot {0} is in use")]
    KeyslotFull(KeyslotId),
    /// There is no keyslot of this number in this version of LUKS.
    #[error("keyslot {0} is out of range")]
    KeyslotOutOfRange(KeyslotId),
    /// All keyslots are taken.
    #[error("all keyslots are in use")]
    AllKeyslotsFull,
    /// The keyslot area has no gap that is large enough.
    #[error("the keyslots area has no room for another keyslot of {needed} bytes")]
    NoRoomForKeyslot {
        /// Size of the area that was needed, in bytes.
        needed: u64,
    },
    /// The named token is taken.
    #[error("token {0} is in use")]
    TokenInUse(u32),
    /// The named token is not there.
    #[error("token {0} is not in use")]
    TokenNotInUse(u32),
    /// The token is not for the keyslot that it should be taken from.
    #[error("token {token} is not assigned to keyslot {keyslot}")]
    TokenNotAssigned {
        /// The token.
        token: u32,
        /// The keyslot.
        keyslot: KeyslotId,
    },
    /// There is no token of this number.
    #[error("token {0} is out of range")]
    TokenOutOfRange(u32),
    /// The token has a key that an interrupted change of a keyslot needs: the only copy there is, perhaps.
    #[error("token {token} holds the key of keyslot {keyslot}, whose change of passphrase was interrupted")]
    TokenHoldsKey {
        /// The token.
        token: u32,
        /// The keyslot.
        keyslot: KeyslotId,
    },
    /// All tokens are taken.
    #[error("all tokens are in use")]
    AllTokensInUse,
    /// All digests are taken: each key of its own needs one.
    #[error("all digests are in use")]
    AllDigestsInUse,
    /// The volume is being reencrypted, and the reencrypting program relies on the header as it is.
    #[error("the volume is in reencryption")]
    InReencryption,
    /// A reencryption that has begun needs what would be destroyed: without it, the data that are converted, or those that are
    /// not, are lost.
    #[error("a reencryption has begun that needs what would be removed")]
    NeededByReencryption,
    /// There is no reencryption to begin, continue or verify: none has begun, or all data are converted.
    #[error("there is no reencryption to continue")]
    NoReencryption,
    /// All data are converted, and the header says so. The old key may still be read where its keyslots were.
    #[error("all data are converted, but the old keyslots could not be wiped: {0}")]
    OldKeysNotWiped(#[source] Box<Self>),
    /// Header and data do not lie as the reencryption needs it.
    #[error(transparent)]
    Misplaced(#[from] luks2::Misplaced),
    /// All data are plaintext if the header is right, and no key has confirmed it.
    #[error("the header says that all data are decrypted, and no key is left to verify it")]
    PlaintextNotConfirmed,
    /// Writing a zone failed, and nothing protects it: part of it may be converted. The header says that no byte of it is.
    #[error("{source}; the data from byte {from} to {to} may be converted in part, and cannot be recovered then")]
    ZoneDamaged {
        /// Its start within the data.
        from: Bytes,
        /// Its end.
        to: Bytes,
        /// The failure.
        #[source]
        source: Box<Error>,
    },
    /// These data are converted, but the header does not record it: continuing would convert them a second time.
    #[error("{source}; the data from byte {from} to {to} are converted, but the header does not say so")]
    ProgressNotSaved {
        /// Their start within the data.
        from: Bytes,
        /// Their end.
        to: Bytes,
        /// The failure.
        #[source]
        source: Box<Error>,
    },
    /// A zone does not read back as it was written.
    #[error("the data from byte {from} to {to} do not read back as they were written")]
    NotReadBack {
        /// The start within the data of what was read.
        from: Bytes,
        /// Its end.
        to: Bytes,
    },
    /// The parameters of a reencryption are not those that its verification digest was made of, with these keys.
    #[error("the metadata of the reencryption do not match the volume keys")]
    ReencryptionNotVerified,
    /// The JSON metadata outgrow their area.
    #[error("the metadata take {len} bytes, there is room for {room}")]
    MetadataTooLarge {
        /// Bytes of JSON text.
        len: usize,
        /// Bytes that fit.
        room: usize,
    },
    /// The volume key does not match a digest of the header.
    #[error("the volume key does not match the volume")]
    WrongVolumeKey,
    /// The storage ends before the header or the data could.
    #[error("the device has {size} bytes, {needed} are needed")]
    DeviceTooSmall {
        /// Bytes that are there.
        size: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A parameter cannot be written into a header.
    #[error("{field} cannot be {value}: {rule}")]
    BadParameter {
        /// The parameter, as the specification names it.
        field: &'static str,
        /// The refused value.
        value: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Another program wrote the header since it was read.
    #[error("the header was changed by another process")]
    ChangedMeanwhile,
    /// Another process wrote the keyslot, or its entry in the header, right after this one: it may be lost.
    #[error("another process wrote the header at the same time; keyslot {0} may be lost")]
    Overwritten(KeyslotId),
    /// The other version has no counterpart of this header; nothing was written.
    #[error("cannot convert the header: {0}")]
    CannotConvert(#[from] ConvertRefused),
    /// The restored data do not read back as the backup has them.
    #[error("the contents of the device do not match the backup")]
    NotRestored,
    /// A mandatory requirement forbids the action.
    #[error("the volume has requirements that this program does not know: {}", shown(.0))]
    UnmetRequirements(String),
}

impl Error {
    /// Adds the failed action to a storage error.
    pub fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
