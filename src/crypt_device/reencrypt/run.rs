//! The work itself: zone by zone, on all processors, the next one read and converted while one is written.

use std::any::Any;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;

use keyslots::Error;
use keyslots::header::{Header, Version};
use keyslots::luks2;
use keyslots::luks2::reencrypt::{
    Ciphers, Codec, Disks, Driver, HeaderLock, Method, NewGuard, Next, Plan, Prepared, Proof, VolumeKeys, Zone,
    ZoneLimits, change_guard, finish, verify,
};
use keyslots::storage::Storage as _;
use keyslots::units::{Bytes, SECTOR_SIZE};
use nix::sys::sysinfo::sysinfo;

use super::{OfflineData, ReencryptionLock};
use crate::crypt_device::{Changing, CryptError, HeaderPlace, LuksDevice, ReencryptionError};
use crate::header_device::{HeaderDevice, Opened, Wanted};
use crate::locks::LockMode;
use crate::same_bytes;

/// The longest zone, unless another one is requested: longer ones are not faster, and take longer to recover and to stop. Two of them
/// are in memory.
const LONGEST_ZONE: Bytes = Bytes::mib(32);
/// The longest zone that is read ahead; of a longer one, which data that move can have, a part at a time is in memory.
const LONGEST_AHEAD: Bytes = Bytes::mib(64);
/// What a thread converts at once: whole sectors of any size.
const PIECE: usize = 256 << 10;

/// How a reencryption is worked on.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest zone.
    pub zone: Option<Bytes>,
    /// The logical block size of the data device.
    pub block: Bytes,
}

/// How the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything is converted.
    Finished,
    /// Between two zones.
    Stopped,
}

/// The longest zone that this machine has the memory for.
fn most_memory() -> Bytes {
    let ram = sysinfo().map_or(0, |info| info.ram_total());
    Bytes::new((ram / 4).max(1 << 20))
}

/// Takes the lock of a header for each write.
struct WriteLock<'a> {
    device: &'a HeaderDevice,
    opened: &'a Opened,
}

impl HeaderLock for WriteLock<'_> {
    fn hold(&self) -> io::Result<Box<dyn Any>> {
        let lock = self.device.lock(self.opened, LockMode::Exclusive);
        lock.map(|lock| Box::new(lock) as Box<dyn Any>)
            .map_err(|error| io::Error::other(error.to_string()))
    }
}

impl LuksDevice {
    /// Goes on with the reencryption that the header says, an interrupted zone first. `each` learns how many bytes are converted, and
    /// of how many, before each zone and at the end, and can stop the work there.
    ///
    /// # Errors
    /// [`CryptError`]; [`ReencryptionError::NotBegun`]. What was interrupted by one is recovered by the next run.
    pub fn continue_reencryption(
        &self,
        changing: &Changing<'_>,
        data: &mut OfflineData,
        (keys, _lock): (&VolumeKeys, &ReencryptionLock),
        pace: Pace,
        each: &mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
    ) -> Result<Ended, CryptError> {
        self.with_disks(data, |header, disks, reader| {
            let verified = verify(header, keys, changing.limits)?;
            let ciphers = Ciphers::new(verified.reencryption(), keys)?;
            let codec = Parallel {
                ciphers: &ciphers,
                threads: thread::available_parallelism().map_or(1, usize::from),
            };
            let method = Method {
                codec: &codec,
                zones: ZoneLimits {
                    wanted: Some(pace.zone.unwrap_or(LONGEST_ZONE)),
                    memory: Some(most_memory()),
                    block: pace.block,
                },
                medium: self.device.medium(),
                verify: false,
                observer: &(),
            };
            let mut driver = Driver::new(header, disks, verified, method)?;
            work(&mut driver, disks, &codec, reader, each)
        })
    }

    /// Protects the zones that are left in another way.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn change_guard(
        &self,
        changing: &Changing<'_>,
        data: &mut OfflineData,
        (keys, _lock): (&VolumeKeys, &ReencryptionLock),
        new: &NewGuard,
    ) -> Result<(), CryptError> {
        self.with_disks(data, |header, disks, _| {
            let verified = verify(header, keys, changing.limits)?;
            Ok(change_guard(header, disks, (&verified, keys), new, changing.limits)?)
        })
    }

    /// Ends a reencryption of which all data are converted. Without `keys`, nothing of the data is wiped; `plaintext` says that the
    /// user has confirmed them to be plaintext.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn finish_reencryption(
        &self,
        changing: &Changing<'_>,
        data: &mut OfflineData,
        (keys, _lock): (&VolumeKeys, &ReencryptionLock),
        plaintext: bool,
    ) -> Result<(), CryptError> {
        self.with_disks(data, |header, disks, _| {
            let proof = match verify(header, keys, changing.limits) {
                Ok(verified) => Proof::Verified(verified),
                // It went with its keyslots.
                Err(Error::WrongVolumeKey) => Proof::Unverified { plaintext },
                Err(error) => return Err(error.into()),
            };
            Ok(finish(header, disks, proof, self.device.medium())?)
        })
    }

    /// Reads the header again, and runs `action` on it, the disks, and a second descriptor of the data.
    fn with_disks<T>(
        &self,
        data: &mut OfflineData,
        action: impl FnOnce(&mut luks2::Header, &mut Disks<'_>, File) -> Result<T, CryptError>,
    ) -> Result<T, CryptError> {
        let opening = || CryptError::io("open the device once more");
        let mut opened = self.device.open(true)?;
        let lock = self.device.lock(&opened, LockMode::Exclusive)?;
        let (header, _) = self
            .device
            .read_header(&mut opened.file, Wanted::Only(Version::Luks2))?;
        drop(lock);
        let Header::Luks2(mut header) = header else {
            return Err(ReencryptionError::OnlyLuks2.into());
        };
        if header.binary().uuid != self.header.uuid() {
            return Err(Error::ChangedMeanwhile.into());
        }
        let same = same_bytes::is_same(&opened.file, &data.file).map_err(opening())?;
        if same != (self.place == HeaderPlace::WithData) {
            return Err(CryptError::Replaced(data.path.clone()));
        }
        let reader = data.file.try_clone().map_err(opening())?;
        let mut file = opened.file.try_clone().map_err(opening())?;
        let lock = WriteLock {
            device: &self.device,
            opened: &opened,
        };
        let disks = match self.place {
            HeaderPlace::WithData => Disks::attached(&mut file),
            HeaderPlace::Apart => Disks::detached(&mut file, &mut data.file),
        };
        action(&mut header, &mut disks.with_lock(&lock), reader)
    }
}

/// Converts zone after zone, until everything is converted or `each` ends the work. Whatever ends it, the header says how far it is.
fn work(
    driver: &mut Driver<'_>,
    disks: &mut Disks<'_>,
    codec: &Parallel<'_>,
    reader: File,
    each: &mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
) -> Result<Ended, CryptError> {
    let worked = convert_all(driver, disks, codec, reader, each);
    if !matches!(worked, Ok(Ended::Finished)) {
        driver.stop(disks)?;
    }
    worked
}

/// Another thread reads and converts the next zone while one is written.
fn convert_all(
    driver: &mut Driver<'_>,
    disks: &mut Disks<'_>,
    codec: &Parallel<'_>,
    mut reader: File,
    each: &mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
) -> Result<Ended, CryptError> {
    let plan = driver.plan().clone();
    thread::scope(|scope| {
        let (wanted, to_read) = sync_channel::<(Zone, Vec<u8>)>(1);
        let (ready, prepared) = sync_channel(1);
        let read_ahead = {
            let plan = &plan;
            move || {
                // The channels close when the other side is done, or has failed.
                while let Ok((zone, buffer)) = to_read.recv() {
                    if ready.send(read(plan, zone, buffer, codec, &mut reader)).is_err() {
                        break;
                    }
                }
            }
        };
        thread::Builder::new()
            .spawn_scoped(scope, read_ahead)
            .map_err(CryptError::io("start a thread"))?;
        let (mut buffer, mut asked) = (Vec::new(), None);
        loop {
            let (done, of) = plan.bytes_done(driver.progress());
            if each(done, of).is_break() {
                return Ok(Ended::Stopped);
            }
            // One that was interrupted is not read ahead, and neither is one that takes too much memory.
            let outcome = match driver.next_zone().filter(|zone| zone.len <= LONGEST_AHEAD) {
                None => driver.step(disks),
                Some(zone) => {
                    let died = || CryptError::io("read the data")(io::ErrorKind::BrokenPipe.into());
                    if asked != Some(zone) {
                        wanted.send((zone, Vec::new())).map_err(|_| died())?;
                    }
                    let prepared: Prepared<Vec<u8>> = prepared.recv().map_err(|_| died())??;
                    asked = driver.zone_behind(&zone).filter(|zone| zone.len <= LONGEST_AHEAD);
                    if let Some(next) = asked {
                        wanted.send((next, std::mem::take(&mut buffer))).map_err(|_| died())?;
                    }
                    let outcome = driver.step_prepared(disks, &prepared);
                    buffer = prepared.into_buffer();
                    outcome
                }
            };
            if outcome? == Next::Done {
                // There is nothing left to stop.
                let _ = each(of, of);
                return Ok(Ended::Finished);
            }
        }
    })
}

fn read(
    plan: &Plan,
    zone: Zone,
    mut buffer: Vec<u8>,
    codec: &dyn Codec,
    reader: &mut File,
) -> keyslots::Result<Prepared<Vec<u8>>> {
    let reading = || Error::io("read the data");
    let len = zone
        .len
        .to_usize()
        .ok_or_else(|| reading()(io::ErrorKind::InvalidInput.into()))?;
    let more = len.saturating_sub(buffer.len());
    buffer
        .try_reserve_exact(more)
        .map_err(|_| Error::io("allocate memory for a zone")(io::ErrorKind::OutOfMemory.into()))?;
    buffer.resize(len, 0);
    reader.read_at(zone.from, &mut buffer).map_err(reading())?;
    plan.prepare(zone, buffer, codec)
}

/// Both encryptions of the data, on several threads.
struct Parallel<'a> {
    ciphers: &'a Ciphers,
    threads: usize,
}

impl Parallel<'_> {
    fn on_all(
        &self,
        first_sector: u64,
        data: &mut [u8],
        each: impl Fn(u64, &mut [u8]) -> keyslots::Result<()> + Sync,
    ) -> keyslots::Result<()> {
        let pieces = (first_sector..)
            .step_by(PIECE / SECTOR_SIZE as usize)
            .zip(data.chunks_mut(PIECE));
        let pieces = Mutex::new(pieces);
        let next = || pieces.lock().ok()?.next();
        let work = || {
            while let Some((sector, piece)) = next() {
                each(sector, piece)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            // Where no thread can be started, this one does it all.
            let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
            let helpers: Vec<_> = (1..self.threads).map_while(start).collect();
            let mut outcome = work();
            for helper in helpers {
                outcome = outcome.and(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            outcome
        })
    }
}

impl Codec for Parallel<'_> {
    fn decode(&self, first_sector: u64, data: &mut [u8]) -> keyslots::Result<()> {
        self.on_all(first_sector, data, |sector, piece| self.ciphers.decode(sector, piece))
    }

    fn encode(&self, first_sector: u64, data: &mut [u8]) -> keyslots::Result<()> {
        self.on_all(first_sector, data, |sector, piece| self.ciphers.encode(sector, piece))
    }

    fn convert(&self, first_sector: u64, data: &mut [u8]) -> keyslots::Result<()> {
        self.on_all(first_sector, data, |sector, piece| {
            self.ciphers.decode(sector, piece)?;
            self.ciphers.encode(sector, piece)
        })
    }
}
