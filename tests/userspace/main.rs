//! Volumes without device-mapper and without root: streams and images, and a volume served as a file through FUSE.

#[path = "../common/mod.rs"]
mod common;
mod fsx;
mod images;
mod sandbox;
mod served;
