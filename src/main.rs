//! The `luksmith` program: argv to command to exit code, and nothing else.

mod allocator;
mod stdio;

use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

#[global_allocator]
static ALLOCATOR: allocator::OrExit = allocator::OrExit;

fn main() -> ExitCode {
    keep_memory_private();
    ExitCode::from(luksmith::multicall::run(std::env::args_os()).number())
}

/// No core dump may hold a key, and no other process of the user may read our memory. Best effort: a system that forbids
/// it does so for cryptsetup too.
fn keep_memory_private() {
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_dumpable(false);
}
