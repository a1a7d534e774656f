//! The program against attackers, other processes that interfere, and machines that fail: no data are lost that were not
//! given up, nothing from a header reaches a terminal unescaped, and no harm is done on the way to an error.
//!
//! On plain files; where results are compared with Debian's cryptsetup, it has to be installed.

mod attacks;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod foreign;
mod identity;
mod images;
mod lab;
mod leaks;
mod records;
mod reencrypt;
mod safety;
mod tracer;
