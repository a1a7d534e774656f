//! `remove`.

use std::ffi::OsString;

use super::error::Failure;
use super::options::Opt;
use super::session::{About, Session};
use crate::dm::{DeviceId, RemoveOptions};

pub(super) fn remove(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    super::every_named(session, words, |id, _| remove_one(session, id))
}

fn remove_one(session: &Session, id: &DeviceId) -> Result<(), Failure> {
    let options = RemoveOptions {
        deferred: session.options.has(Opt::Deferred),
        retry: session.options.has(Opt::Retry),
    };
    session.dm()?.remove(id, options).about(id).map(drop)
}
