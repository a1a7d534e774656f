//! The block ciphers by name.

use super::adiantum;
use super::block::BlockCipher;
use super::twofish::Twofish;
use cipher::KeyInit;

/// A block cipher by name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Aes,
    Serpent,
    Twofish,
    Camellia,
    Cast5,
    Cast6,
    Blowfish,
    Des,
    TripleDes,
    Sm4,
    Aria,
    /// AES and XChaCha with 12 rounds, for Adiantum alone.
    XChaCha12Aes,
    /// AES and XChaCha with 20 rounds, for Adiantum alone.
    XChaCha20Aes,
    Null,
}

impl Algorithm {
    const ALL: [Self; 14] = [
        Self::Aes,
        Self::Serpent,
        Self::Twofish,
        Self::Camellia,
        Self::Cast5,
        Self::Cast6,
        Self::Blowfish,
        Self::Des,
        Self::TripleDes,
        Self::Sm4,
        Self::Aria,
        Self::XChaCha12Aes,
        Self::XChaCha20Aes,
        Self::Null,
    ];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        // cryptsetup takes `null` for `cipher_null`.
        let name = if name == "null" { "cipher_null" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The kernel's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aes => "aes",
            Self::Serpent => "serpent",
            Self::Twofish => "twofish",
            Self::Camellia => "camellia",
            Self::Cast5 => "cast5",
            Self::Cast6 => "cast6",
            Self::Blowfish => "blowfish",
            Self::Des => "des",
            Self::TripleDes => "des3_ede",
            Self::Sm4 => "sm4",
            Self::Aria => "aria",
            Self::XChaCha12Aes => "xchacha12,aes",
            Self::XChaCha20Aes => "xchacha20,aes",
            Self::Null => "cipher_null",
        }
    }

    /// Length of a block in bytes. The null cipher has blocks of one byte, as in the kernel.
    pub(super) fn block_len(self) -> usize {
        match self {
            Self::Null => 1,
            Self::Cast5 | Self::Blowfish | Self::Des | Self::TripleDes => 8,
            _ => 16,
        }
    }

    pub(super) fn takes_key_of(self, len: usize) -> bool {
        match self {
            Self::Aes | Self::Twofish | Self::Camellia | Self::Aria => matches!(len, 16 | 24 | 32),
            Self::Serpent => (16..=32).contains(&len),
            Self::Cast5 => (5..=16).contains(&len),
            Self::Cast6 => matches!(len, 16 | 20 | 24 | 28 | 32),
            Self::Blowfish => (4..=56).contains(&len),
            Self::Des => len == 8,
            Self::TripleDes => len == 24,
            Self::Sm4 => len == 16,
            Self::XChaCha12Aes | Self::XChaCha20Aes => len == adiantum::KEY_LEN,
            Self::Null => true,
        }
    }

    /// Whether this is a pair of a stream cipher and a block cipher, which only Adiantum combines.
    pub(super) fn is_pair(self) -> bool {
        matches!(self, Self::XChaCha12Aes | Self::XChaCha20Aes)
    }

    /// Expands `key`; `None` where the length is wrong, and for a pair.
    pub(super) fn keyed(self, key: &[u8]) -> Option<Box<dyn BlockCipher>> {
        if !self.takes_key_of(key.len()) {
            return None;
        }
        match (self, key.len()) {
            (Self::Aes, 16) => boxed::<aes::Aes128>(key),
            (Self::Aes, 24) => boxed::<aes::Aes192>(key),
            (Self::Aes, _) => boxed::<aes::Aes256>(key),
            (Self::Serpent, _) => boxed::<serpent::Serpent>(key),
            (Self::Twofish, _) => Some(Box::new(Twofish::new(key))),
            (Self::Camellia, 16) => boxed::<camellia::Camellia128>(key),
            (Self::Camellia, 24) => boxed::<camellia::Camellia192>(key),
            (Self::Camellia, _) => boxed::<camellia::Camellia256>(key),
            (Self::Cast5, _) => boxed::<cast5::Cast5>(key),
            (Self::Cast6, _) => boxed::<cast6::Cast6>(key),
            (Self::Blowfish, _) => boxed::<blowfish::Blowfish>(key),
            (Self::Des, _) => boxed::<des::Des>(key),
            (Self::TripleDes, _) => boxed::<des::TdesEde3>(key),
            (Self::Sm4, _) => boxed::<sm4::Sm4>(key),
            (Self::Aria, 16) => boxed::<aria::Aria128>(key),
            (Self::Aria, 24) => boxed::<aria::Aria192>(key),
            (Self::Aria, _) => boxed::<aria::Aria256>(key),
            (Self::XChaCha12Aes | Self::XChaCha20Aes, _) => None,
            (Self::Null, _) => Some(Box::new(Null)),
        }
    }
}

fn boxed<C>(key: &[u8]) -> Option<Box<dyn BlockCipher>>
where
    C: KeyInit + BlockCipher + 'static,
{
    C::new_from_slice(key)
        .ok()
        .map(|cipher| Box::new(cipher) as Box<dyn BlockCipher>)
}

/// The identity cipher.
struct Null;

impl BlockCipher for Null {
    fn encrypt(&self, _blocks: &mut [u8]) {}
    fn decrypt(&self, _blocks: &mut [u8]) {}
}
