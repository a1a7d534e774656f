//! Filling the memory: which thread makes each block, and from which others.
//!
//! The memory is a matrix of lanes and four slices. Segments, where the two cross, are computed in parallel within a
//! slice, since none refers to another of the same slice (RFC 9106, 3.4).

use zeroize::Zeroize;

use super::compress::{Block, Compressor, Job, Portable};
use super::{Costs, SLICES};
use crate::kdf::Argon2Variant;
use crate::kdf::parallel;

/// Makes all passes over `blocks`, whose first two of each lane are already filled.
pub(super) fn fill(costs: Costs, blocks: &mut [Block]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = super::compress::Avx2::detect() {
        return fill_with(avx2, costs, blocks);
    }
    fill_with(Portable, costs, blocks);
}

/// The number of the variant in the hash input.
pub(super) fn variant_number(variant: Argon2Variant) -> u32 {
    match variant {
        Argon2Variant::I => 1,
        Argon2Variant::Id => 2,
    }
}

fn fill_with(compressor: impl Compressor, costs: Costs, blocks: &mut [Block]) {
    let threads = parallel::cpus().min(costs.lanes as usize);
    for pass in 0..costs.time {
        for slice in 0..SLICES {
            let (mut lanes, others) = cross(costs, pass, slice, blocks);
            let step = Step {
                compressor,
                costs,
                pass,
                slice,
                others: &others,
            };
            step.run(&mut lanes, threads);
        }
    }
}

/// Splits the memory for one slice: the segments to write, and all others, to read. Those are numbered by their place in
/// memory, with gaps for those that are written.
fn cross(costs: Costs, pass: u32, slice: usize, blocks: &mut [Block]) -> (Vec<Lane<'_>>, Vec<&[Block]>) {
    let mut lanes = Vec::new();
    let mut others: Vec<&[Block]> = Vec::new();
    for (number, segment) in blocks.chunks_exact_mut(costs.segment_blocks()).enumerate() {
        if number % SLICES == slice {
            lanes.push(Lane::new(costs, pass, slice, number / SLICES, segment));
            others.push(&[]);
        } else {
            others.push(segment);
        }
    }
    (lanes, others)
}

/// One slice of one pass.
#[derive(Copy, Clone)]
struct Step<'a, C> {
    compressor: C,
    costs: Costs,
    pass: u32,
    slice: usize,
    others: &'a [&'a [Block]],
}

/// One lane's part of a slice.
struct Lane<'a> {
    number: usize,
    segment: &'a mut [Block],
    /// The inputs of the next block, beside the one before it.
    reference: Place,
    /// Addresses that were computed ahead, if they do not depend on the contents of blocks.
    addresses: Option<Addresses>,
    scratch: Block,
}

#[derive(Copy, Clone)]
struct Place {
    segment: usize,
    block: usize,
}

impl<C: Compressor> Step<'_, C> {
    /// Computes the lanes on this many threads, each with a share of them.
    fn run(self, lanes: &mut [Lane<'_>], threads: usize) {
        let share = lanes.len().div_ceil(threads);
        parallel::for_each(lanes.chunks_mut(share), threads, |lanes| self.fill(lanes));
    }

    /// Computes the segments of these lanes, a block of each in turn: while one lane waits for prefetched memory, the
    /// others compute.
    fn fill(self, lanes: &mut [Lane<'_>]) {
        // The first two blocks of the memory's first column of segments are there already.
        let first = if self.pass == 0 && self.slice == 0 { 2 } else { 0 };
        for lane in lanes.iter_mut() {
            self.start(lane, first);
        }
        for block in first..self.costs.segment_blocks() {
            for lane in lanes.iter_mut() {
                self.make_block(lane, block);
            }
        }
    }

    fn start(self, lane: &mut Lane<'_>, block: usize) {
        let random = match &mut lane.addresses {
            Some(addresses) => {
                addresses.refill(self.compressor);
                addresses.words.0[block]
            }
            None if block > 0 => lane.segment[block - 1].0[0],
            None => self.before(lane.number).0[0],
        };
        lane.reference = self.place(lane.number, block, random);
    }

    /// The last block of the slice before this one in the same lane.
    fn before(&self, lane: usize) -> &Block {
        let segment = lane * SLICES + (self.slice + SLICES - 1) % SLICES;
        &self.others[segment][self.costs.segment_blocks() - 1]
    }

    fn make_block(self, lane: &mut Lane<'_>, block: usize) {
        let next = block + 1;
        let last = next == self.costs.segment_blocks();
        if let Some(addresses) = &mut lane.addresses
            && next.is_multiple_of(ADDRESSES)
            && !last
        {
            addresses.refill(self.compressor);
        }
        let own = lane.number * SLICES + self.slice;
        let (done, rest) = lane.segment.split_at_mut(block);
        let find = |place: Place| {
            if place.segment == own {
                &done[place.block]
            } else {
                self.other(place)
            }
        };
        let job = Job {
            previous: done.last().unwrap_or_else(|| self.before(lane.number)),
            reference: find(lane.reference),
            new: &mut rest[0],
            add: self.pass > 0,
            scratch: &mut lane.scratch,
        };
        self.compressor.compress(job, |first_word| {
            if !last {
                let random = lane
                    .addresses
                    .as_ref()
                    .map_or(first_word, |ahead| ahead.words.0[next % ADDRESSES]);
                lane.reference = self.place(lane.number, next, random);
                find(lane.reference).prefetch();
            }
        });
    }

    fn other(&self, place: Place) -> &Block {
        &self.others[place.segment][place.block]
    }

    /// Maps 64 random bits to the block that `block` of `lane` refers to (RFC 9106, 3.4.1.3 and 3.4.2).
    #[inline(always)]
    fn place(&self, lane: usize, block: usize, random: u64) -> Place {
        let segment_blocks = self.costs.segment_blocks();
        let other_lane = ((random >> 32) as u32 % self.costs.lanes) as usize;
        let other_lane = if self.pass == 0 && self.slice == 0 {
            lane
        } else {
            other_lane
        };
        // Segments that are complete: of the pass before, too, unless this is the first.
        let (segments, oldest) = match self.pass {
            0 => (self.slice, 0),
            _ => (SLICES - 1, (self.slice + 1) % SLICES),
        };
        let eligible = segments * segment_blocks;
        let eligible = if other_lane == lane {
            eligible + block - 1
        } else {
            eligible - usize::from(block == 0)
        };
        let x = random & 0xffff_ffff;
        let skewed = (eligible as u64 * ((x * x) >> 32)) >> 32;
        let mut place = Place {
            segment: oldest,
            block: eligible - 1 - skewed as usize,
        };
        while place.block >= segment_blocks {
            place.block -= segment_blocks;
            place.segment = (place.segment + 1) % SLICES;
        }
        place.segment += other_lane * SLICES;
        place
    }
}

impl<'a> Lane<'a> {
    fn new(costs: Costs, pass: u32, slice: usize, number: usize, segment: &'a mut [Block]) -> Self {
        let independent = match costs.variant {
            Argon2Variant::I => true,
            Argon2Variant::Id => pass == 0 && slice < SLICES / 2,
        };
        Self {
            number,
            segment,
            reference: Place { segment: 0, block: 0 },
            addresses: independent.then(|| Addresses::new(costs, pass, slice, number)),
            scratch: Block::ZERO,
        }
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.scratch.zeroize();
    }
}

/// Addresses in one block of them.
const ADDRESSES: usize = 128;

/// Pseudo-random addresses that depend on the costs and the position alone, and so need no wiping.
struct Addresses {
    input: Block,
    words: Block,
}

impl Addresses {
    fn new(costs: Costs, pass: u32, slice: usize, lane: usize) -> Self {
        let mut input = Block::ZERO;
        input.0[..6].copy_from_slice(&[
            pass.into(),
            lane as u64,
            slice as u64,
            costs.blocks() as u64,
            costs.time.into(),
            variant_number(costs.variant).into(),
        ]);
        Self {
            input,
            words: Block::ZERO,
        }
    }

    /// Replaces the addresses by the next ones.
    fn refill(&mut self, compressor: impl Compressor) {
        self.input.0[6] += 1;
        let (mut half, mut scratch) = (Block::ZERO, Block::ZERO);
        let mut hash = |reference: &Block, new: &mut Block| {
            let job = Job {
                previous: &Block::ZERO,
                reference,
                new,
                add: false,
                scratch: &mut scratch,
            };
            compressor.compress(job, |_| {});
        };
        hash(&self.input, &mut half);
        hash(&half, &mut self.words);
    }
}
