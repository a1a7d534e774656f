//! MD5 (RFC 1321), for one purpose: plain volumes of old, whose key is the MD5 of a passphrase. Nothing new is made with it.

use keyslots::secret::Secret;

/// Bytes of a digest.
pub(super) const LEN: usize = 16;

/// How far each of four steps rotates, round by round.
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The digest of two parts, one behind the other, up to the length of `out`.
///
/// # Errors
/// Where there is no memory that can be wiped.
pub(super) fn digest(parts: [&[u8]; 2], out: &mut [u8]) -> std::io::Result<()> {
    let len = parts[0].len() + parts[1].len();
    // A one, zeros, and the length in bits, up to a whole block.
    let mut message = Secret::zeroed((len + 9).next_multiple_of(64))?;
    let bytes = message.expose_mut();
    let (text, padding) = bytes.split_at_mut(len);
    let (first, second) = text.split_at_mut(parts[0].len());
    first.copy_from_slice(parts[0]);
    second.copy_from_slice(parts[1]);
    padding[0] = 0x80;
    let at = padding.len() - 8;
    padding[at..].copy_from_slice(&(len as u64).wrapping_mul(8).to_le_bytes());

    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in bytes.chunks_exact(64) {
        let word = |n: usize| u32::from_le_bytes([block[4 * n], block[4 * n + 1], block[4 * n + 2], block[4 * n + 3]]);
        let [mut a, mut b, mut c, mut d] = state;
        for n in 0..64 {
            let (f, place) = match n / 16 {
                0 => ((b & c) | (!b & d), n),
                1 => ((d & b) | (!d & c), 5 * n + 1),
                2 => (b ^ c ^ d, 3 * n + 5),
                _ => (c ^ (b | !d), 7 * n),
            };
            // RFC 1321, 3.4: 2³² times the sine of n + 1 radians, without its sign.
            let constant = ((n as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a.wrapping_add(f).wrapping_add(constant).wrapping_add(word(place % 16));
            let next = b.wrapping_add(sum.rotate_left(SHIFTS[n / 16][n % 4]));
            (a, b, c, d) = (d, next, b, c);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d]) {
            *sum = sum.wrapping_add(part);
        }
    }
    for (byte, digest) in out.iter_mut().zip(state.iter().flat_map(|word| word.to_le_bytes())) {
        *byte = digest;
    }
    zeroize::Zeroize::zeroize(&mut state);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1321, A.5.
    #[test]
    fn digests_are_those_of_the_standard() {
        let digits = "1234567890".repeat(8);
        for (text, expected) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            (&digits, "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            let mut out = [0; LEN];
            let (first, second) = text.as_bytes().split_at(text.len() / 3);
            digest([first, second], &mut out).expect("memory");
            let found: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
