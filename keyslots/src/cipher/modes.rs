//! The chaining modes.

use zeroize::Zeroize;

use super::adiantum::{self, Adiantum};
use super::block::BlockCipher;
use super::geometry::{Direction, MAX_BLOCK, MAX_SECTOR, SectorBuffer};
use super::hctr2::{self, Hctr2};
use super::sector::SectorCipher;
use super::tweak::{LrwTweaks, mask_xts, xor, xor_to};

/// A chaining mode, with the part of the key that it needs.
pub(super) enum Chain {
    Ecb,
    Cbc,
    Ctr,
    Pcbc,
    Cfb,
    Ofb,
    Xts(Box<dyn BlockCipher>),
    Lrw(LrwTweaks),
    Adiantum(Box<Adiantum>),
    Hctr2(Box<Hctr2>),
}

/// The source of the next mask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Back {
    Ciphertext,
    KeyStream,
}

/// Sectors of `size` bytes, or blocks.
pub(super) struct Sectors<'a> {
    /// The IV of each.
    pub(super) ivs: &'a mut [u8],
    /// Where they come from, if that is elsewhere.
    pub(super) source: Option<&'a [u8]>,
    pub(super) data: &'a mut [u8],
    pub(super) size: usize,
}

impl SectorCipher {
    /// Encrypts or decrypts whole sectors.
    pub(super) fn chain(&self, sectors: Sectors<'_>, buffer: &mut SectorBuffer, direction: Direction) {
        let Sectors {
            ivs,
            source,
            data,
            size,
        } = sectors;
        let encrypt = direction == Direction::Encrypt;
        let iv_len = ivs.len() / (data.len() / size).max(1);
        let each = |data: &mut [u8], work: &dyn Fn(&[u8], &mut [u8])| {
            for (sector, iv) in data.chunks_exact_mut(size).zip(ivs.chunks_exact(iv_len)) {
                work(iv, sector);
            }
        };
        let source = source.filter(|source| {
            // Only these can do something on the way.
            let masked = matches!(self.chain, Chain::Xts(_) | Chain::Lrw(_));
            if !masked {
                data.copy_from_slice(source);
            }
            masked
        });
        match &self.chain {
            Chain::Ecb => self.blocks(data, direction),
            Chain::Cbc if encrypt => self.cbc_encrypt(ivs, data, size),
            Chain::Cbc => self.after_blocks((ivs, data, size), buffer, |cipher, data, previous| {
                cipher.decrypt(data);
                xor(data, previous);
            }),
            Chain::Ctr => self.ctr(ivs, data, size, buffer),
            Chain::Pcbc => each(data, &|iv, sector| self.pcbc(iv, sector, direction)),
            Chain::Cfb if encrypt => each(data, &|iv, sector| self.feed_back(Back::Ciphertext, iv, sector)),
            Chain::Cfb => self.after_blocks((ivs, data, size), buffer, |cipher, data, previous| {
                cipher.encrypt(previous);
                xor(data, previous);
            }),
            Chain::Ofb => each(data, &|iv, sector| self.feed_back(Back::KeyStream, iv, sector)),
            Chain::Xts(tweak_cipher) => {
                tweak_cipher.encrypt(ivs);
                let sectors = Sectors {
                    ivs: &mut *ivs,
                    source,
                    data,
                    size,
                };
                self.masked(sectors, buffer, direction, mask_xts);
                // The masks are as secret as the key.
                ivs.zeroize();
            }
            Chain::Lrw(tweaks) => {
                let sectors = Sectors {
                    ivs,
                    source,
                    data,
                    size,
                };
                self.masked(sectors, buffer, direction, |iv, next, data, masks| {
                    tweaks.fill(iv, next);
                    xor(data, masks);
                });
            }
            Chain::Adiantum(adiantum) => each(data, &|iv, sector| {
                let tweak = iv.first_chunk().unwrap_or(&[0; adiantum::TWEAK_LEN]);
                adiantum.crypt(tweak, sector, direction, self.cipher.as_ref());
            }),
            Chain::Hctr2(hctr2) => {
                for (sector, iv) in data.chunks_exact_mut(size).zip(ivs.chunks_exact(iv_len)) {
                    let tweak = iv.first_chunk().unwrap_or(&[0; hctr2::TWEAK_LEN]);
                    hctr2.crypt(tweak, sector, (self.cipher.as_ref(), direction), &mut buffer.0);
                }
            }
        }
    }

    fn blocks(&self, blocks: &mut [u8], direction: Direction) {
        match direction {
            Direction::Encrypt => self.cipher.encrypt(blocks),
            Direction::Decrypt => self.cipher.decrypt(blocks),
        }
    }

    /// Up to 4096 bytes at a time, each block between two additions of its mask. `fill` makes a sector's masks of its IV, and
    /// beside that adds others to the data of a sector: those of one batch the last time, while it makes those of the next.
    fn masked(
        &self,
        sectors: Sectors<'_>,
        buffer: &mut SectorBuffer,
        direction: Direction,
        fill: impl Fn(&[u8; MAX_BLOCK], &mut [u8], &mut [u8], &[u8]),
    ) {
        let Sectors {
            ivs,
            mut source,
            data,
            size,
        } = sectors;
        let at_a_time = MAX_SECTOR / size;
        let mut batches = ivs.as_chunks().0.chunks(at_a_time);
        let (mut masks, mut next_masks) = buffer.0.split_at_mut(MAX_SECTOR);
        for (masks, iv) in masks.chunks_exact_mut(size).zip(batches.next().unwrap_or_default()) {
            fill(iv, masks, &mut [], &[]);
        }
        for data in data.chunks_mut(at_a_time * size) {
            let len = data.len();
            match &mut source {
                Some(source) => {
                    let (now, later) = source.split_at(len);
                    xor_to(now, &masks[..len], data);
                    *source = later;
                }
                None => xor(data, &masks[..len]),
            }
            self.blocks(data, direction);
            // As many as this batch, or fewer.
            let next_ivs = batches.next().unwrap_or_default();
            let (beside, after) = data.split_at_mut(next_ivs.len() * size);
            for (((sector, masks), next_masks), iv) in beside
                .chunks_exact_mut(size)
                .zip(masks.chunks_exact(size))
                .zip(next_masks.chunks_exact_mut(size))
                .zip(next_ivs)
            {
                fill(iv, next_masks, sector, masks);
            }
            xor(after, &masks[len - after.len()..len]);
            (masks, next_masks) = (next_masks, masks);
        }
    }

    /// Up to 4096 bytes at a time, with the predecessor of each block of ciphertext: the IV, or the block before.
    fn after_blocks(
        &self,
        (ivs, data, size): (&[u8], &mut [u8], usize),
        buffer: &mut SectorBuffer,
        work: impl Fn(&dyn BlockCipher, &mut [u8], &mut [u8]),
    ) {
        let at_a_time = MAX_SECTOR / size;
        let iv_len = ivs.len() / (data.len() / size).max(1);
        for (data, ivs) in data.chunks_mut(at_a_time * size).zip(ivs.chunks(at_a_time * iv_len)) {
            let previous = &mut buffer.0[..data.len()];
            for ((sector, iv), previous) in data
                .chunks_exact(size)
                .zip(ivs.chunks_exact(iv_len))
                .zip(previous.chunks_exact_mut(size))
            {
                previous[..iv_len].copy_from_slice(iv);
                previous[iv_len..].copy_from_slice(&sector[..size - iv_len]);
            }
            work(self.cipher.as_ref(), data, previous);
        }
    }

    /// A chain has to wait for each of its blocks, so those of all sectors are interleaved.
    fn cbc_encrypt(&self, ivs: &mut [u8], data: &mut [u8], size: usize) {
        let block_len = ivs.len() / (data.len() / size).max(1);
        // The last output of each sector.
        let last = ivs;
        for at in (0..size).step_by(block_len) {
            let place = at..at + block_len;
            for (sector, last) in data.chunks_exact(size).zip(last.chunks_exact_mut(block_len)) {
                xor(last, &sector[place.clone()]);
            }
            self.cipher.encrypt(last);
            for (sector, last) in data.chunks_exact_mut(size).zip(last.chunks_exact(block_len)) {
                sector[place.clone()].copy_from_slice(last);
            }
        }
    }

    /// Each block is masked with the plaintext and the ciphertext of the one before.
    fn pcbc(&self, iv: &[u8], sector: &mut [u8], direction: Direction) {
        let (mut mask, mut before) = ([0; MAX_BLOCK], [0; MAX_BLOCK]);
        let (mask, before) = (&mut mask[..iv.len()], &mut before[..iv.len()]);
        mask.copy_from_slice(iv);
        for block in sector.chunks_exact_mut(iv.len()) {
            before.copy_from_slice(block);
            if direction == Direction::Encrypt {
                xor(block, mask);
            }
            self.blocks(block, direction);
            if direction == Direction::Decrypt {
                xor(block, mask);
            }
            mask.copy_from_slice(before);
            xor(mask, block);
        }
        mask.zeroize();
        before.zeroize();
    }

    /// CFB that encrypts, and OFB.
    fn feed_back(&self, back: Back, iv: &[u8], sector: &mut [u8]) {
        let mut mask = [0; MAX_BLOCK];
        let mask = &mut mask[..iv.len()];
        mask.copy_from_slice(iv);
        for block in sector.chunks_exact_mut(iv.len()) {
            self.cipher.encrypt(mask);
            xor(block, mask);
            if back == Back::Ciphertext {
                mask.copy_from_slice(block);
            }
        }
        mask.zeroize();
    }

    fn ctr(&self, ivs: &[u8], data: &mut [u8], size: usize, buffer: &mut SectorBuffer) {
        let at_a_time = MAX_SECTOR / size;
        let iv_len = ivs.len() / (data.len() / size).max(1);
        for (data, ivs) in data.chunks_mut(at_a_time * size).zip(ivs.chunks(at_a_time * iv_len)) {
            let stream = &mut buffer.0[..data.len()];
            for (stream, iv) in stream.chunks_exact_mut(size).zip(ivs.chunks_exact(iv_len)) {
                count(iv, stream);
            }
            self.cipher.encrypt(stream);
            xor(data, stream);
        }
    }
}

/// Fills `stream` with a big-endian number that counts up from `first`, and wraps.
fn count(first: &[u8], stream: &mut [u8]) {
    if let Some(first) = first.first_chunk() {
        let mut counter = u128::from_be_bytes(*first);
        for block in stream.as_chunks_mut().0 {
            *block = counter.to_be_bytes();
            counter = counter.wrapping_add(1);
        }
    } else if let Some(first) = first.first_chunk() {
        let mut counter = u64::from_be_bytes(*first);
        for block in stream.as_chunks_mut().0 {
            *block = counter.to_be_bytes();
            counter = counter.wrapping_add(1);
        }
    }
}
