//! `remove` and `remove_all`.

use std::ffi::OsString;

use super::error::Failure;
use super::every::every_named;
use super::options::Opt;
use super::session::{About, Session};
use super::{nodes, suspend_load};
use crate::dm::{DeviceId, RemoveOptions, SuspendOptions};

/// A table that is about to be removed need not be waited for.
const AT_ONCE: SuspendOptions = SuspendOptions {
    no_flush: true,
    skip_lockfs: true,
};

pub(super) fn remove(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let options = RemoveOptions {
        deferred: session.options.has(Opt::Deferred),
        retry: session.options.has(Opt::Retry),
    };
    every_named(session, words, |id| {
        if session.options.has(Opt::Force) {
            free(session, id);
        }
        session.changing()?.remove(id, options).about(id).map(drop)
    })
}

/// Frees the devices below a device. Even if that fails, the removal may succeed.
fn free(session: &Session, id: &DeviceId) {
    if let Err(Failure::Command(message)) = suspend_load::wipe(session, id, AT_ONCE) {
        session.complain(format!("{message}\n"));
    }
}

pub(super) fn remove_all(session: &Session, _: &[OsString]) -> Result<(), Failure> {
    let deferred = session.options.has(Opt::Deferred);
    let dm = session.dm()?;
    dm.remove_all(deferred).map_err(Failure::refused_for_all)?;
    let mut left = session.all()?;
    if session.options.has(Opt::Force) && !left.is_empty() {
        for mapping in &left {
            free(session, &DeviceId::Name(mapping.name.clone()));
        }
        dm.remove_all(deferred).map_err(Failure::refused_for_all)?;
        left = session.all()?;
        if !left.is_empty() {
            session.complain(format!("Unable to remove {} device(s).\n", left.len()));
        }
    }
    nodes::mknodes_of(session, &left)
}
