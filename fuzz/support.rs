//! What the targets share: headers whose checksums are repaired, so that a target gets behind them; and a bound on each allocation,
//! which no length in an input may lift. (Locked memory, which secrets have, is bounded by `-rss_limit_mb`.)

use std::alloc::{GlobalAlloc, Layout, System};

use keyslots::kdf::CostLimits;
use keyslots::luks2::format::{self, BINARY_HEADER_LEN, BinaryHeader, Label, Which};
use keyslots::storage::Memory;
use keyslots::units::Bytes;

/// Largest allocation for any input. No input is longer than 16 KiB, no device larger than [`DEVICE`].
const LARGEST: usize = 8 << 20;

struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

// SAFETY: each call is passed on to the system's allocator as it came, or ends the process.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        bound(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        bound(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        bound(size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(start, layout, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(start, layout) }
    }
}

fn bound(size: usize) {
    if size > LARGEST {
        eprintln!("an allocation of {size} bytes");
        std::process::abort();
    }
}

/// Size of one copy of a LUKS2 header here.
pub const HDR_SIZE: usize = 16384;
/// Size of the largest device that a header is read from.
pub const DEVICE: usize = 1 << 20;

/// Limits under which no input takes long or much memory.
pub fn small() -> CostLimits {
    CostLimits::default()
        .allow_memory(Bytes::kib(256))
        .allow_lanes(4)
        .allow_work(Bytes::kib(256))
        .allow_iterations(100)
}

/// One copy of a LUKS2 header with this text as its metadata, whatever it is.
pub fn copy(which: Which, seqid: u64, text: &[u8]) -> Vec<u8> {
    let offset = match which {
        Which::Primary => 0,
        Which::Secondary => HDR_SIZE as u64,
    };
    let binary = BinaryHeader {
        hdr_size: Bytes::new(HDR_SIZE as u64),
        seqid,
        label: Label::default(),
        checksum_hash: keyslots::hash::Hash::from_name("sha256").expect("there is SHA-256"),
        salt: [7; 64],
        uuid: "11111111-2222-3333-4444-555555555555".to_owned(),
        subsystem: Label::default(),
        hdr_offset: Bytes::new(offset),
    };
    let mut area = vec![0; HDR_SIZE - BINARY_HEADER_LEN];
    let len = text.len().min(area.len());
    area[..len].copy_from_slice(&text[..len]);
    let mut bytes = binary.to_bytes(which);
    format::put_checksum(&mut bytes, &area, binary.checksum_hash);
    [&bytes[..], &area].concat()
}

/// A device of this size that begins with these bytes.
pub fn device(start: &[u8], size: usize) -> Memory {
    let mut memory = Memory::zeroed(size);
    let len = start.len().min(size);
    memory.0[..len].copy_from_slice(&start[..len]);
    memory
}
