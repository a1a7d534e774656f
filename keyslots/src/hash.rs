//! Hash functions by the names that headers use.
//!
//! A [`Hash`] is a name and nothing else: it holds no state, so it can stand in a parsed header. PBKDF2, the
//! anti-forensic splitter and ESSIV all dispatch through it.

use std::fmt;

use digest::Digest;
use digest::consts::{U16, U20, U28, U32, U48};
use zeroize::Zeroize;

pub(crate) type Blake2b160 = blake2::Blake2b<U20>;
pub(crate) type Blake2b256 = blake2::Blake2b<U32>;
pub(crate) type Blake2b384 = blake2::Blake2b<U48>;
pub(crate) type Blake2s128 = blake2::Blake2s<U16>;
pub(crate) type Blake2s160 = blake2::Blake2s<U20>;
pub(crate) type Blake2s224 = blake2::Blake2s<U28>;

/// The longest output of any [`Hash`], in bytes.
pub const MAX_OUTPUT_LEN: usize = 64;

macro_rules! hashes {
    ($($variant:ident, $name:literal, $kernel:literal, $len:literal, $ty:ty, $mac:ident, [$($alias:literal),*], $doc:literal;)*) => {
        /// A hash function.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        pub enum Hash {
            $(#[doc = $doc] $variant,)*
        }

        impl Hash {
            /// Every hash that this crate knows.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name as cryptsetup writes it into a header.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The name as the kernel's crypto API knows it, which is what an `essiv:` in a crypt table takes.
            pub fn kernel_name(self) -> &'static str {
                match self { $(Self::$variant => $kernel,)* }
            }

            /// Length of a digest in bytes.
            pub fn output_len(self) -> usize {
                match self { $(Self::$variant => $len,)* }
            }

            fn aliases(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($alias),*],)* }
            }

            /// Hashes the concatenation of `parts` into `out`. An `out` shorter than the digest gets its first bytes;
            /// where it is longer, the rest is zero.
            pub fn digest(self, parts: &[&[u8]], out: &mut [u8]) {
                match self { $(Self::$variant => digest_into::<$ty>(parts, out),)* }
            }

            /// Fills `out` with PBKDF2-HMAC of this hash; `iterations` is at least 1, zero counts as 1.
            pub(crate) fn pbkdf2(self, password: &[u8], salt: &[u8], iterations: u32, out: &mut [u8]) {
                match self {
                    $(Self::$variant => pbkdf2::pbkdf2::<hmac::$mac<$ty>>(password, salt, iterations, out)
                        .expect("HMAC takes a key of any length"),)*
                }
            }
        }
    };
}

hashes! {
    Sha1, "sha1", "sha1", 20, sha1::Sha1, Hmac, ["sha-1"], "SHA-1, as in the oldest LUKS1 headers.";
    Sha224, "sha224", "sha224", 28, sha2::Sha224, Hmac, ["sha-224", "sha2-224"], "SHA-224.";
    Sha256, "sha256", "sha256", 32, sha2::Sha256, Hmac, ["sha-256", "sha2-256"], "SHA-256, the default.";
    Sha384, "sha384", "sha384", 48, sha2::Sha384, Hmac, ["sha-384", "sha2-384"], "SHA-384.";
    Sha512, "sha512", "sha512", 64, sha2::Sha512, Hmac, ["sha-512", "sha2-512"], "SHA-512.";
    Sha512_224, "sha512-224", "sha512-224", 28, sha2::Sha512_224, Hmac, ["sha512/224"], "SHA-512/224.";
    Sha512_256, "sha512-256", "sha512-256", 32, sha2::Sha512_256, Hmac, ["sha512/256"], "SHA-512/256.";
    Sha3_224, "sha3-224", "sha3-224", 28, sha3::Sha3_224, SimpleHmac, [], "SHA3-224.";
    Sha3_256, "sha3-256", "sha3-256", 32, sha3::Sha3_256, SimpleHmac, [], "SHA3-256.";
    Sha3_384, "sha3-384", "sha3-384", 48, sha3::Sha3_384, SimpleHmac, [], "SHA3-384.";
    Sha3_512, "sha3-512", "sha3-512", 64, sha3::Sha3_512, SimpleHmac, [], "SHA3-512.";
    Ripemd160, "ripemd160", "rmd160", 20, ripemd::Ripemd160, Hmac, ["rmd160", "ripemd-160"], "RIPEMD-160.";
    Whirlpool, "whirlpool", "wp512", 64, whirlpool::Whirlpool, Hmac, ["wp512"], "Whirlpool, the final version.";
    Blake2b160, "blake2b-160", "blake2b-160", 20, Blake2b160, SimpleHmac, [], "BLAKE2b with 160 bits.";
    Blake2b256, "blake2b-256", "blake2b-256", 32, Blake2b256, SimpleHmac, [], "BLAKE2b with 256 bits.";
    Blake2b384, "blake2b-384", "blake2b-384", 48, Blake2b384, SimpleHmac, [], "BLAKE2b with 384 bits.";
    Blake2b512, "blake2b-512", "blake2b-512", 64, blake2::Blake2b512, SimpleHmac, ["blake2b512"], "BLAKE2b with 512 bits.";
    Blake2s128, "blake2s-128", "blake2s-128", 16, Blake2s128, SimpleHmac, [], "BLAKE2s with 128 bits.";
    Blake2s160, "blake2s-160", "blake2s-160", 20, Blake2s160, SimpleHmac, [], "BLAKE2s with 160 bits.";
    Blake2s224, "blake2s-224", "blake2s-224", 28, Blake2s224, SimpleHmac, [], "BLAKE2s with 224 bits.";
    Blake2s256, "blake2s-256", "blake2s-256", 32, blake2::Blake2s256, SimpleHmac, ["blake2s256"], "BLAKE2s with 256 bits.";
    Sm3, "sm3", "sm3", 32, sm3::Sm3, Hmac, [], "SM3.";
    Streebog256, "stribog256", "streebog256", 32, streebog::Streebog256, Hmac, ["streebog256"], "Streebog with 256 bits.";
    Streebog512, "stribog512", "streebog512", 64, streebog::Streebog512, Hmac, ["streebog512"], "Streebog with 512 bits.";
}

impl Hash {
    /// Finds a hash by any name that cryptsetup or the kernel has for it, in upper or lower case: old headers say
    /// `SHA256`.
    pub fn from_name(name: &str) -> Option<Self> {
        let same = |other: &str| name.eq_ignore_ascii_case(other);
        Self::ALL
            .iter()
            .copied()
            .find(|hash| same(hash.name()) || hash.aliases().iter().any(|alias| same(alias)))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn digest_into<D: Digest>(parts: &[&[u8]], out: &mut [u8]) {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    let mut digest = hasher.finalize();
    let len = out.len().min(digest.len());
    out[..len].copy_from_slice(&digest[..len]);
    out[len..].fill(0);
    digest.as_mut_slice().zeroize();
}
