//! Hash functions by the names that headers use.
//!
//! A [`enum@Hash`] is a name and nothing else: it holds no state, so it can be part of a parsed header. PBKDF2, the
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

/// The longest output of any [`enum@Hash`], in bytes.
pub const MAX_OUTPUT_LEN: usize = 64;

macro_rules! hashes {
    ($(
        $(#[$doc:meta])*
        $variant:ident, $name:literal, $kernel:literal, $ty:ty, $mac:ident, [$($alias:literal),*];
    )*) => {
        /// A hash function.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        pub enum Hash {
            $($(#[$doc])* $variant,)*
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
                match self { $(Self::$variant => <$ty as Digest>::output_size(),)* }
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
    /// MD5, used by some old LUKS2 headers and plain volumes.
    Md5, "md5", "md5", md5::Md5, Hmac, [];
    /// SHA-1, as in the oldest LUKS1 headers.
    Sha1, "sha1", "sha1", sha1::Sha1, Hmac, ["sha-1"];
    /// SHA-224.
    Sha224, "sha224", "sha224", sha2::Sha224, Hmac, ["sha-224", "sha2-224"];
    /// SHA-256, the default.
    Sha256, "sha256", "sha256", sha2::Sha256, Hmac, ["sha-256", "sha2-256"];
    /// SHA-384.
    Sha384, "sha384", "sha384", sha2::Sha384, Hmac, ["sha-384", "sha2-384"];
    /// SHA-512.
    Sha512, "sha512", "sha512", sha2::Sha512, Hmac, ["sha-512", "sha2-512"];
    /// SHA-512/224.
    Sha512_224, "sha512-224", "sha512-224", sha2::Sha512_224, Hmac, ["sha512/224"];
    /// SHA-512/256.
    Sha512_256, "sha512-256", "sha512-256", sha2::Sha512_256, Hmac, ["sha512/256"];
    /// SHA3-224.
    Sha3_224, "sha3-224", "sha3-224", sha3::Sha3_224, SimpleHmac, [];
    /// SHA3-256.
    Sha3_256, "sha3-256", "sha3-256", sha3::Sha3_256, SimpleHmac, [];
    /// SHA3-384.
    Sha3_384, "sha3-384", "sha3-384", sha3::Sha3_384, SimpleHmac, [];
    /// SHA3-512.
    Sha3_512, "sha3-512", "sha3-512", sha3::Sha3_512, SimpleHmac, [];
    /// RIPEMD-160.
    Ripemd160, "ripemd160", "rmd160", ripemd::Ripemd160, Hmac, ["rmd160", "ripemd-160"];
    /// Whirlpool, the final version.
    Whirlpool, "whirlpool", "wp512", whirlpool::Whirlpool, Hmac, ["wp512"];
    /// BLAKE2b with 160 bits.
    Blake2b160, "blake2b-160", "blake2b-160", Blake2b160, SimpleHmac, [];
    /// BLAKE2b with 256 bits.
    Blake2b256, "blake2b-256", "blake2b-256", Blake2b256, SimpleHmac, [];
    /// BLAKE2b with 384 bits.
    Blake2b384, "blake2b-384", "blake2b-384", Blake2b384, SimpleHmac, [];
    /// BLAKE2b with 512 bits.
    Blake2b512, "blake2b-512", "blake2b-512", blake2::Blake2b512, SimpleHmac, ["blake2b512"];
    /// BLAKE2s with 128 bits.
    Blake2s128, "blake2s-128", "blake2s-128", Blake2s128, SimpleHmac, [];
    /// BLAKE2s with 160 bits.
    Blake2s160, "blake2s-160", "blake2s-160", Blake2s160, SimpleHmac, [];
    /// BLAKE2s with 224 bits.
    Blake2s224, "blake2s-224", "blake2s-224", Blake2s224, SimpleHmac, [];
    /// BLAKE2s with 256 bits.
    Blake2s256, "blake2s-256", "blake2s-256", blake2::Blake2s256, SimpleHmac, ["blake2s256"];
    /// SM3.
    Sm3, "sm3", "sm3", sm3::Sm3, Hmac, [];
    /// Streebog with 256 bits.
    Streebog256, "stribog256", "streebog256", streebog::Streebog256, Hmac, ["streebog256"];
    /// Streebog with 512 bits.
    Streebog512, "stribog512", "streebog512", streebog::Streebog512, Hmac, ["streebog512"];
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

/// A hash as a header names it, perhaps in a spelling of its own, or unknown here: it is written as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashName(String);

impl HashName {
    /// The name as written in a header.
    pub fn new(name: String) -> Self {
        Self(name)
    }

    /// The name as written in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash, if it is known here.
    pub fn known(&self) -> Option<Hash> {
        Hash::from_name(&self.0)
    }
}

impl From<Hash> for HashName {
    fn from(hash: Hash) -> Self {
        Self(hash.name().to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests_and_derived_keys_are_those_of_libgcrypt() {
        let data: Vec<u8> = (0..1000).map(|n| (7 * n + 1) as u8).collect();
        let mut seen = Vec::new();
        for line in include_str!("hash.vectors")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let [name, digest, derived] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let hash = Hash::from_name(name).unwrap_or_else(|| panic!("{name} is unknown"));
            let mut out = vec![0; hash.output_len()];
            hash.digest(&[&data[..1], &[], &data[1..300], &data[300..]], &mut out);
            assert_eq!(hex(&out), digest, "{name}");
            let (mut key, mut out) = ([0; 70], [0; 16]);
            hash.pbkdf2(&data[..150], b"NaCl salt 16 byt", 3, &mut key);
            Hash::Sha256.digest(&[&key], &mut out);
            assert_eq!(hex(&out), derived, "PBKDF2 with {name}");
            seen.push(hash);
        }
        assert_eq!(seen, Hash::ALL);
    }

    #[test]
    fn names_are_found_in_any_case_and_by_the_kernels_word() {
        for hash in Hash::ALL.iter().copied() {
            assert!(hash.output_len() <= MAX_OUTPUT_LEN);
            for name in [hash.name(), hash.kernel_name()]
                .into_iter()
                .chain(hash.aliases().iter().copied())
            {
                assert_eq!(Hash::from_name(name), Some(hash), "{name}");
                assert_eq!(Hash::from_name(&name.to_uppercase()), Some(hash), "{name}");
            }
        }
        for name in ["", "sha", "md4", "sha256 ", "sha2567", "xxhash64"] {
            assert_eq!(Hash::from_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn an_output_of_another_length_is_cut_or_filled_up() {
        let (mut exact, mut short, mut long) = ([0; 32], [1; 5], [1; 40]);
        Hash::Sha256.digest(&[b"abc"], &mut exact);
        Hash::Sha256.digest(&[b"abc"], &mut short);
        Hash::Sha256.digest(&[b"abc"], &mut long);
        assert_eq!(short, exact[..5]);
        assert_eq!((&long[..32], &long[32..]), (&exact[..], &[0; 8][..]));
    }
}
