//! Initialisation vectors: from a sector number to the bytes that start a sector's chain.

use std::fmt;

use super::algorithm::Algorithm;
use super::block::BlockCipher;
use super::spec::{CipherSpec, Mode};
use crate::hash::{Hash, MAX_OUTPUT_LEN};
use zeroize::Zeroizing;

/// IV generators of dm-crypt, by name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum IvKind {
    /// The mode takes none.
    None,
    /// All zero.
    Null,
    /// The lower 32 bits of the sector number, little-endian: they wrap after 2 TiB.
    Plain,
    /// The sector number, little-endian.
    Plain64,
    /// The sector number, big-endian, at the end.
    Plain64Be,
    /// The sector number, encrypted under a hash of the key.
    Essiv(Hash),
    /// A big-endian count of cipher blocks that starts at 1.
    Benbi,
    /// The number of the sector's first byte, little-endian, encrypted as the data are. BitLocker's, as is the next.
    Eboiv,
    /// As `Eboiv`, and besides a diffuser for the sector: [`super::elephant`].
    Elephant,
}

impl IvKind {
    /// Finds it by the name of the generator and its option, which follows a colon. Only ESSIV uses that.
    pub(super) fn from_name(text: &str) -> Option<Self> {
        match text.split_once(':').map_or(text, |(name, _)| name) {
            "null" => Some(Self::Null),
            "plain" => Some(Self::Plain),
            "plain64" => Some(Self::Plain64),
            "plain64be" => Some(Self::Plain64Be),
            "benbi" => Some(Self::Benbi),
            "eboiv" => Some(Self::Eboiv),
            "elephant" => Some(Self::Elephant),
            _ => Hash::from_name(text.strip_prefix("essiv:")?).map(Self::Essiv),
        }
    }
}

impl fmt::Display for IvKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Null => f.write_str("null"),
            Self::Plain => f.write_str("plain"),
            Self::Plain64 => f.write_str("plain64"),
            Self::Plain64Be => f.write_str("plain64be"),
            Self::Essiv(hash) => write!(f, "essiv:{}", hash.kernel_name()),
            Self::Benbi => f.write_str("benbi"),
            Self::Eboiv => f.write_str("eboiv"),
            Self::Elephant => f.write_str("elephant"),
        }
    }
}

/// An IV generator with the part of the key that it needs.
pub(super) struct IvGenerator {
    kind: IvKind,
    /// log2 of cipher blocks per 512 bytes, for `benbi`.
    benbi_shift: u32,
    essiv: Option<Box<dyn BlockCipher>>,
    sector_size: u64,
}

impl IvGenerator {
    /// `None` where the ESSIV hash does not make a key of the cipher.
    pub(super) fn new(spec: &CipherSpec, key: &[u8], sector_size: usize) -> Option<Self> {
        let essiv = match spec.iv {
            // A mode without an IV ignores it as well.
            IvKind::Essiv(hash) if spec.mode != Mode::Ecb => Some(essiv_cipher(spec.algorithm, hash, key)?),
            _ => None,
        };
        let block_len = if spec.mode.is_stream() {
            1
        } else {
            spec.algorithm.block_len()
        };
        Some(Self {
            kind: spec.iv,
            benbi_shift: 9 - block_len.ilog2(),
            essiv,
            sector_size: sector_size as u64,
        })
    }

    /// Whether the output of [`IvGenerator::fill`] still has to be encrypted as the data are.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.kind, IvKind::Eboiv | IvKind::Elephant)
    }

    /// Starts `iv`, whose length is that of a cipher block (8 or 16 bytes); see [`IvGenerator::encrypt`].
    pub(super) fn fill(&self, sector: u64, iv: &mut [u8]) {
        iv.fill(0);
        match self.kind {
            IvKind::None | IvKind::Null => {}
            IvKind::Plain => put_start(iv, &(sector as u32).to_le_bytes()),
            IvKind::Plain64 | IvKind::Essiv(_) => put_start(iv, &sector.to_le_bytes()),
            IvKind::Plain64Be => put_end(iv, &sector.to_be_bytes()),
            IvKind::Benbi => put_end(iv, &(sector << self.benbi_shift).wrapping_add(1).to_be_bytes()),
            IvKind::Eboiv | IvKind::Elephant => put_start(iv, &sector.wrapping_mul(self.sector_size).to_le_bytes()),
        }
    }

    /// Completes the output of [`IvGenerator::fill`], for any number of IVs.
    pub(super) fn encrypt(&self, ivs: &mut [u8]) {
        if let Some(cipher) = &self.essiv {
            cipher.encrypt(ivs);
        }
    }
}

fn essiv_cipher(algorithm: Algorithm, hash: Hash, key: &[u8]) -> Option<Box<dyn BlockCipher>> {
    let mut salt = Zeroizing::new([0; MAX_OUTPUT_LEN]);
    let salt = salt.get_mut(..hash.output_len())?;
    hash.digest(&[key], salt);
    algorithm.keyed(salt)
}

fn put_start(iv: &mut [u8], number: &[u8]) {
    if let Some((start, _)) = iv.split_at_mut_checked(number.len()) {
        start.copy_from_slice(number);
    }
}

fn put_end(iv: &mut [u8], number: &[u8]) {
    if let Some(start) = iv.len().checked_sub(number.len()) {
        iv[start..].copy_from_slice(number);
    }
}
