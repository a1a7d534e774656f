//! The order of writes: protect a zone, say that it is being converted, convert it, say that it is; each safe on the device before
//! the next begins.

use super::super::Header;
use super::commit::{commit, put_segments};
use super::convert::{Codec, Disks, convert_zone};
use super::digest::Verified;
use super::finish::end;
use super::placement::Placement;
use super::plan::{Plan, Progress, Zone, ZoneLimits};
use super::resilience::{protect, recover};
use super::slot::Guard;
use super::state::State;
use crate::units::Bytes;
use crate::wipe::Medium;
use crate::{Error, Result};

/// How zones are converted.
#[derive(Clone, Copy)]
pub struct Method<'a> {
    /// What decrypts and encrypts.
    pub codec: &'a dyn Codec,
    /// What bounds the length of a zone.
    pub zones: ZoneLimits,
    /// The medium of the header, for the wipes at the end.
    pub medium: Medium,
}

impl std::fmt::Debug for Method<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Method({:?}, {:?})", self.zones, self.medium)
    }
}

/// Continues a reencryption zone by zone. The caller holds the locks.
///
/// Each step takes the driver and returns it with the next one: after an error nothing is continued, but what the header on the
/// device says then is recovered.
pub struct Driver<'a> {
    header: &'a mut Header,
    plan: Box<Plan>,
    codec: &'a dyn Codec,
    at: Progress,
    /// A zone that was interrupted.
    hot: Option<Zone>,
    len: Bytes,
    medium: Medium,
    /// Zones are converted that the header does not say are.
    behind: bool,
}

impl std::fmt::Debug for Driver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Driver at {:?} of {:?}", self.at, self.plan)
    }
}

/// The outcome of a step.
#[derive(Debug)]
pub enum Next<'a> {
    /// There are more zones.
    Zone(Driver<'a>),
    /// All data are converted, and nothing else is left to do.
    Done,
}

impl<'a> Driver<'a> {
    /// Continues what `verified` says, and nothing else.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`] where the header says something else; [`Error::InReencryption`] where all data are converted
    /// already, see [`super::finish()`]; the [`super::super::Defect`] of the header or of the device's size.
    pub fn new(header: &'a mut Header, disks: &mut Disks<'_>, verified: Verified, method: Method<'a>) -> Result<Self> {
        let found = verified.into_reencryption();
        if header.reencryption()?.running().as_ref() != Some(&found) {
            return Err(Error::ChangedMeanwhile);
        }
        if found.state == State::Finished {
            return Err(Error::InReencryption);
        }
        let plan = Plan::new(&found, disks.data_size()?)?;
        let len = plan.zone_length(method.zones)?;
        // Another process may have written it, and been killed before it was on the device.
        header.settle(disks.header())?;
        Ok(Self {
            header,
            at: plan.progress(),
            hot: plan.interrupted(),
            plan: Box::new(plan),
            codec: method.codec,
            len,
            medium: method.medium,
            behind: false,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.at
    }

    /// Recovers the zone that was interrupted, or converts the next one.
    ///
    /// # Errors
    /// Those of the storage. The header then names the zone that needs recovery.
    pub fn step(mut self, disks: &mut Disks<'_>) -> Result<Next<'a>> {
        let zone = match self.hot.take() {
            Some(zone) => {
                recover(disks, self.plan.reencryption(), self.codec, &zone)?;
                zone
            }
            None => {
                let zone = self.plan.next_zone(self.at, self.len).ok_or(Error::InReencryption)?;
                self.convert(disks, &zone)?;
                zone
            }
        };
        self.at = self.plan.after(self.at, &zone);
        if self.plan.is_done(self.at) {
            end(self.header, disks, self.plan.reencryption(), self.medium)?;
            return Ok(Next::Done);
        }
        match self.is_unprotected() {
            true => self.behind = true,
            false => self.save(disks)?,
        }
        Ok(Next::Zone(self))
    }

    /// Stops between two zones, so that it can be continued later.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn stop(mut self, disks: &mut Disks<'_>) -> Result<()> {
        match self.behind {
            true => self.save(disks),
            false => Ok(()),
        }
    }

    fn convert(&mut self, disks: &mut Disks<'_>, zone: &Zone) -> Result<()> {
        if !self.is_unprotected() {
            let found = self.plan.reencryption();
            protect(disks, found, zone)?;
            let hot = self.plan.segments(self.at, Some(*zone));
            commit(self.header, disks.header(), |metadata| {
                put_segments(metadata, found, hot)
            })?;
        }
        convert_zone(disks, self.codec, zone)
    }

    fn save(&mut self, disks: &mut Disks<'_>) -> Result<()> {
        let segments = self.plan.segments(self.at, None);
        let found = self.plan.reencryption();
        commit(self.header, disks.header(), |metadata| {
            put_segments(metadata, found, segments);
        })?;
        self.behind = false;
        Ok(())
    }

    /// Whether nothing protects a zone: then the header is behind the data until the end, or until it stops.
    fn is_unprotected(&self) -> bool {
        let found = self.plan.reencryption();
        found.placement == Placement::InPlace && found.params.resilience.guard == Guard::None
    }
}
