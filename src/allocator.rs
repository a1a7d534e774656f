//! Running out of memory in a small allocation: exit code 3 and a message, as with the large ones, which are requested and
//! checked where they are needed. The standard library would abort.
//!
//! Every command has to survive a sudden end anyway: a machine may stop at any moment.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;

use luksmith::console::ExitCode;
use nix::libc;

/// The system's allocator, which ends the program when it fails.
#[derive(Debug)]
pub(crate) struct OrExit;

// SAFETY: each call is passed on unchanged to the system's allocator, whose answer is passed back unless it is null.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        or_exit(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        or_exit(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promised.
        or_exit(unsafe { System.realloc(start, layout, size) }, size)
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(start, layout) }
    }
}

fn or_exit(start: *mut u8, size: usize) -> *mut u8 {
    if start.is_null() {
        out_of_memory(size);
    }
    start
}

#[cold]
fn out_of_memory(size: usize) -> ! {
    // Written without a buffer, which would have to be allocated.
    let mut text = [0; 96];
    let mut rest = &mut text[..];
    let _ = writeln!(rest, "Out of memory: could not allocate {size} bytes.");
    let left = rest.len();
    let _ = nix::unistd::write(std::io::stderr(), &text[..text.len() - left]);
    // SAFETY: it ends the process, without running anything that might allocate.
    unsafe { libc::_exit(ExitCode::OutOfMemory as i32) }
}
