//! The program against people who mean harm, other processes that interfere, and machines that fail: nothing is lost that
//! was not given up, nothing of a header reaches a terminal as it is, and no harm is done on the way to an error.
//!
//! On plain files; where Debian's cryptsetup is the measure, it has to be installed.

mod attacks;
mod faults;
mod foreign;
mod identity;
mod images;
mod lab;
mod leaks;
mod records;
mod safety;
mod tracer;
