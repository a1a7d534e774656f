//! The order of writes: protect a zone, say that it is being converted, convert it, say that it is; each safe on the device before
//! the next begins.

use std::io;

use super::super::Header;
use super::commit::{commit, put_segments};
use super::convert::{Codec, Disks, Written, convert_zone, length, write_zone};
use super::digest::Verified;
use super::finish::{end, wipe_rest};
use super::misplaced::check_begun;
use super::placement::Placement;
use super::plan::{Plan, Progress, Zone, ZoneLimits};
use super::requirement::Requirement;
use super::resilience::{Prepared, protect, recover};
use super::slot::{Direction, Guard, Mode};
use super::state::{State, is_of_one};
use crate::units::Bytes;
use crate::wipe::{Medium, wipe_random};
use crate::{Error, Result};

/// How zones are converted.
#[derive(Clone, Copy)]
pub struct Method<'a> {
    /// What decrypts and encrypts.
    pub codec: &'a dyn Codec,
    /// What bounds the length of a zone.
    pub zones: ZoneLimits,
    /// The medium of the header and the data, for wipes.
    pub medium: Medium,
    /// Whether each zone is read back before the header says that it is converted. One that was interrupted is not.
    pub verify: bool,
    /// Receives each step of each zone.
    pub observer: &'a dyn Observer,
}

impl std::fmt::Debug for Method<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Method({:?}, {:?}, verify: {})",
            self.zones, self.medium, self.verify
        )
    }
}

/// A moment in the conversion of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// Nothing of it has been read. From now on, nobody else may write to it.
    Begin,
    /// The header says that it is being converted, or nothing protects it. Nothing of it has been written.
    Hot,
    /// It is converted, and on the device. If it is read back, that is next: caches may be dropped.
    Written,
    /// The header says that it is converted, unless nothing protects it.
    Done,
}

/// Observes a driver. An error ends the step.
pub trait Observer {
    /// Called when `zone` reaches `moment`.
    ///
    /// # Errors
    /// Any error: the step ends with it.
    fn observe(&self, moment: Moment, zone: &Zone) -> Result<()>;
}

/// Observes nothing.
impl Observer for () {
    fn observe(&self, _: Moment, _: &Zone) -> Result<()> {
        Ok(())
    }
}

/// Continues a reencryption zone by zone. The caller holds the locks.
///
/// After an error, [`Driver::stop`] leaves the header as true as it can be; another step recovers the zone in which the error was.
pub struct Driver<'a> {
    header: &'a mut Header,
    plan: Box<Plan>,
    method: Method<'a>,
    at: Progress,
    /// A zone that was interrupted.
    hot: Option<Zone>,
    len: Bytes,
    /// Whether the header may have dropped the reencryption.
    ended: bool,
}

impl std::fmt::Debug for Driver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Driver at {:?} of {:?}", self.at, self.plan)
    }
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There are more zones.
    Zone,
    /// All data are converted, and nothing else is left to do.
    Done,
}

impl<'a> Driver<'a> {
    /// Continues what `verified` says, and nothing else.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`] where the header says something else; [`Error::NoReencryption`] where all data are converted
    /// already, see [`super::finish()`]; [`Error::Misplaced`]; the [`super::super::Defect`] of the header or of the device's size.
    pub fn new(header: &'a mut Header, disks: &mut Disks<'_>, verified: Verified, method: Method<'a>) -> Result<Self> {
        let found = verified.into_reencryption();
        if header.reencryption()?.running().as_ref() != Some(&found) {
            return Err(Error::ChangedMeanwhile);
        }
        if matches!(found.state, State::Finished | State::Wiping) {
            return Err(Error::NoReencryption);
        }
        let plan = Plan::new(&found, disks.data_size()?)?;
        let len = plan.zone_length(method.zones)?;
        check_begun(header, disks, &found)?;
        // Another process may have written it, and been killed before it was on the device.
        let held = disks.hold()?;
        header.settle(disks.header())?;
        drop(held);
        Ok(Self {
            header,
            at: plan.progress(),
            hot: plan.interrupted(),
            plan: Box::new(plan),
            method,
            len,
            ended: false,
        })
    }

    /// The plan, with the progress at which this driver began.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.at
    }

    /// The zone that is next, if it may be read ahead: not one that was interrupted.
    pub fn next_zone(&self) -> Option<Zone> {
        self.zone_after(self.at).filter(|_| self.hot.is_none() && !self.ended)
    }

    /// The zone that comes after `zone`.
    pub fn zone_behind(&self, zone: &Zone) -> Option<Zone> {
        self.zone_after(self.plan.after(self.at, zone))
    }

    fn zone_after(&self, at: Progress) -> Option<Zone> {
        self.plan.next_zone(at, self.len)
    }

    /// Recovers the zone that was interrupted, or converts the next one.
    ///
    /// # Errors
    /// Those of the storage and of the observer. The header then names the zone that needs recovery; but with [`Guard::None`]
    /// [`Error::ZoneDamaged`] says what is lost, and any error leaves the header as after the zone before. [`Error::NoReencryption`]
    /// where nothing is left to do.
    pub fn step(&mut self, disks: &mut Disks<'_>) -> Result<Next> {
        let had_ended = self.ended;
        let outcome = self.convert_next(disks);
        self.saved_on_error(disks, outcome, had_ended)
    }

    fn convert_next(&mut self, disks: &mut Disks<'_>) -> Result<Next> {
        self.expect_running()?;
        let zone = match self.hot {
            Some(zone) => {
                self.observe(Moment::Begin, &zone)?;
                self.observe(Moment::Hot, &zone)?;
                recover(disks, self.plan.reencryption(), self.method.codec, &zone)?;
                self.observe(Moment::Written, &zone)?;
                zone
            }
            None => {
                let zone = self.next_zone().ok_or(Error::NoReencryption)?;
                self.observe(Moment::Begin, &zone)?;
                match self.is_unprotected() {
                    true => {
                        let prepared = self.read(disks, zone)?;
                        self.write_unprotected(disks, &zone, prepared.data()?)?;
                    }
                    false => {
                        protect(disks, self.plan.reencryption(), &zone)?;
                        self.commit_hot(disks, &zone)?;
                        let mut written = self.method.verify.then(Written::default);
                        convert_zone(disks, self.method.codec, &zone, written.as_mut())?;
                        self.check_written(disks, &zone, written)?;
                    }
                }
                zone
            }
        };
        self.complete(disks, &zone)
    }

    /// Writes the zone that comes next, which the caller has read and prepared.
    ///
    /// # Errors
    /// As [`Driver::step`]; [`Error::BadParameter`] where another zone is next, or one has to be recovered.
    pub fn step_prepared<B: AsRef<[u8]>>(&mut self, disks: &mut Disks<'_>, prepared: &Prepared<B>) -> Result<Next> {
        let had_ended = self.ended;
        let outcome = self.write_next(disks, prepared);
        self.saved_on_error(disks, outcome, had_ended)
    }

    fn write_next<B: AsRef<[u8]>>(&mut self, disks: &mut Disks<'_>, prepared: &Prepared<B>) -> Result<Next> {
        self.expect_running()?;
        let zone = prepared.zone();
        if self.next_zone() != Some(zone) {
            return Err(Error::BadParameter {
                field: "zone",
                value: zone.start.get().to_string(),
                rule: "it is not the one that comes next",
            });
        }
        let data = prepared.data()?;
        self.observe(Moment::Begin, &zone)?;
        match self.is_unprotected() {
            true => self.write_unprotected(disks, &zone, data)?,
            false => {
                prepared.protect(disks, self.plan.reencryption())?;
                self.commit_hot(disks, &zone)?;
                let mut written = self.method.verify.then(Written::default);
                write_zone(disks, &zone, data, written.as_mut())?;
                self.check_written(disks, &zone, written)?;
            }
        }
        self.complete(disks, &zone)
    }

    /// Stops between two zones, so that it can be continued later. Due after an error, too, and may be repeated.
    ///
    /// # Errors
    /// [`Error::ProgressNotSaved`].
    pub fn stop(&mut self, disks: &mut Disks<'_>) -> Result<()> {
        match (self.is_unprotected(), self.ended) {
            (false, _) => Ok(()),
            (true, false) => self.save(disks),
            (true, true) => self.end_again(disks),
        }
    }

    /// After an error, the header says at least what is converted for certain.
    fn saved_on_error(&mut self, disks: &mut Disks<'_>, outcome: Result<Next>, had_ended: bool) -> Result<Next> {
        let ends = self.is_unprotected() && self.ended && !had_ended;
        outcome.or_else(|error| match (self.stop(disks), ends) {
            // The end has been committed after all.
            (Ok(()), true) => Ok(Next::Done),
            // If this failed too, stopping will.
            _ => Err(error),
        })
    }

    fn expect_running(&self) -> Result<()> {
        match self.ended {
            true => Err(Error::NoReencryption),
            false => Ok(()),
        }
    }

    fn observe(&self, moment: Moment, zone: &Zone) -> Result<()> {
        self.method.observer.observe(moment, zone)
    }

    /// Reads all of an unprotected zone: one that cannot be read is left as it is.
    fn read(&self, disks: &mut Disks<'_>, zone: Zone) -> Result<Prepared<Vec<u8>>> {
        let mut buffer = Vec::new();
        buffer
            .try_reserve_exact(length(&zone)?)
            .map_err(|_| Error::io("allocate memory for a zone")(io::ErrorKind::OutOfMemory.into()))?;
        buffer.resize(length(&zone)?, 0);
        disks.read_data(zone.from, &mut buffer)?;
        self.plan.prepare(zone, buffer, self.method.codec)
    }

    fn commit_hot(&mut self, disks: &mut Disks<'_>, zone: &Zone) -> Result<()> {
        let hot = self.plan.segments(self.at, Some(*zone));
        let found = self.plan.reencryption();
        let is_last = self.plan.is_done(self.plan.after(self.at, zone));
        // cryptsetup would recover it, take the result for a reencryption that has not begun, and decrypt what is plaintext.
        let is_ours_alone =
            is_last && found.params.mode == Mode::Decrypt && found.params.direction == Direction::Backward;
        commit(self.header, disks, |metadata| {
            put_segments(metadata, found, hot);
            if is_ours_alone {
                metadata.config.requirements.push(Requirement::Last.name().to_owned());
            }
        })?;
        self.hot = Some(*zone);
        self.observe(Moment::Hot, zone)
    }

    fn check_written(&self, disks: &mut Disks<'_>, zone: &Zone, written: Option<Written>) -> Result<()> {
        self.observe(Moment::Written, zone)?;
        written.map_or(Ok(()), |written| written.verify(disks, zone))
    }

    fn write_unprotected(&mut self, disks: &mut Disks<'_>, zone: &Zone, data: &[u8]) -> Result<()> {
        self.observe(Moment::Hot, zone)?;
        let mut written = self.method.verify.then(Written::default);
        let outcome =
            write_zone(disks, zone, data, written.as_mut()).and_then(|()| self.check_written(disks, zone, written));
        outcome.map_err(|error| Error::ZoneDamaged {
            from: zone.start,
            to: zone.end(),
            source: error.into(),
        })
    }

    /// The zone is converted: the header says so.
    fn complete(&mut self, disks: &mut Disks<'_>, zone: &Zone) -> Result<Next> {
        let after = self.plan.after(self.at, zone);
        let done = self.plan.is_done(after);
        if done {
            let found = self.plan.reencryption();
            if let Placement::Down { shift, .. } = found.placement {
                // What is left of the old data lies behind them, and is not needed to recover this zone.
                wipe_random(disks.data(), self.plan.size(), shift, self.method.medium)?;
            }
            self.ended = true;
            end(self.header, disks, found, self.method.medium)?;
        } else if !self.is_unprotected() {
            self.put(disks, after)?;
        }
        (self.at, self.hot) = (after, None);
        self.observe(Moment::Done, zone)?;
        Ok(if done { Next::Done } else { Next::Zone })
    }

    fn put(&mut self, disks: &mut Disks<'_>, at: Progress) -> Result<()> {
        let segments = self.plan.segments(at, None);
        let found = self.plan.reencryption();
        commit(self.header, disks, |metadata| {
            put_segments(metadata, found, segments);
        })
    }

    /// All data are converted, and the header may not say so.
    fn end_again(&mut self, disks: &mut Disks<'_>) -> Result<()> {
        let found = self.plan.reencryption();
        let there = Header::read(disks.header())?;
        if !there.in_reencryption() && there.binary().uuid == self.header.binary().uuid {
            let _held = disks.hold()?;
            there.settle(disks.header())?;
            return wipe_rest(&there, disks.header(), self.method.medium);
        }
        if !there
            .reencryption()?
            .running()
            .is_some_and(|there| is_of_one(&there, found))
        {
            return Err(Error::ChangedMeanwhile);
        }
        *self.header = there;
        end(self.header, disks, found, self.method.medium).map_err(|error| Error::ProgressNotSaved {
            from: Bytes::ZERO,
            to: self.plan.size(),
            source: error.into(),
        })
    }

    /// Makes the header say how far unprotected data are converted.
    fn save(&mut self, disks: &mut Disks<'_>) -> Result<()> {
        let ours = self.plan.segments(self.at, None);
        let segments = self.header.metadata().segments.values();
        let theirs = segments.filter(|segment| !segment.is_backup());
        if theirs.eq(ours.iter().map(|(_, segment)| segment)) {
            return Ok(());
        }
        let put = match self.put(disks, self.at) {
            // Another program has changed it, a keyslot for example, or the last try has written more than it knows.
            Err(error @ Error::ChangedMeanwhile) => match self.take_header(disks) {
                Ok(true) => self.put(disks, self.at),
                _ => Err(error),
            },
            put => put,
        };
        put.map_err(|error| {
            // Which header is on the device now is what the next try has to know.
            self.take_header(disks).ok();
            let (from, to) = self.plan.converted_since(self.at);
            Error::ProgressNotSaved {
                from,
                to,
                source: error.into(),
            }
        })
    }

    /// Takes the header that is on the device, where it is still of this reencryption, and not of another progress.
    fn take_header(&mut self, disks: &mut Disks<'_>) -> Result<bool> {
        let there = Header::read(disks.header())?;
        let Some(running) = there.reencryption()?.running() else {
            return Ok(false);
        };
        let before = self.header.reencryption()?.running().map(|before| before.active);
        let is_ours = there.binary().uuid == self.header.binary().uuid
            && is_of_one(&running, self.plan.reencryption())
            && (before.as_ref() == Some(&running.active) || running.active == self.plan.segments(self.at, None));
        if is_ours {
            *self.header = there;
        }
        Ok(is_ours)
    }

    /// Whether nothing protects a zone: then the header is behind the data until the end, or until it stops.
    fn is_unprotected(&self) -> bool {
        let found = self.plan.reencryption();
        found.placement == Placement::InPlace && found.params.resilience.guard == Guard::None
    }
}
