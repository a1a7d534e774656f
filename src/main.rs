//! The `luksmith` program: argv to command to exit code.

fn main() {}
