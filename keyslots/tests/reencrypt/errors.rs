//! Errors while zones are converted, and what a caller can do beside: prepare zones ahead, watch, read back.

use std::cell::RefCell;
use std::io;

use keyslots::luks2::Header;
use keyslots::luks2::reencrypt::{self, Ciphers, Direction, Driver, Guard, Method, Moment, Next, Observer, Plan, Zone};
use keyslots::storage::fault::{Fault, Recorder};
use keyslots::storage::{Memory, Storage};
use keyslots::units::Bytes;
use keyslots::{Error, Result};

use super::volumes::*;

fn unprotected(direction: Direction) -> Kind {
    Kind {
        name: "unprotected",
        direction,
        guard: || Guard::None,
        ..IN_PLACE
    }
}

/// Converts zones until the end or an error, and stops then, once more if that fails.
fn run(kind: &Kind, disk: &mut dyn Storage) -> Result<()> {
    on_disks(disk, kind.split, |disks| {
        let mut header = Header::read(disks.header())?;
        let verified = reencrypt::verify(&header, &kind.keys(), &limits())?;
        let ciphers = Ciphers::new(verified.reencryption(), &kind.keys())?;
        let mut driver = Driver::new(&mut header, disks, verified, method(&ciphers, Bytes::kib(4)))?;
        loop {
            match driver.step(disks) {
                Ok(Next::Zone) => {}
                Ok(Next::Done) => return Ok(()),
                Err(error) => {
                    let stopped = driver.stop(disks).or_else(|_| driver.stop(disks));
                    return stopped.and(Err(error));
                }
            }
        }
    })
}

/// What the header on the disk says that the data are, but for those from `from` to `to`.
fn is_right(kind: &Kind, disk: &[u8], from: usize, to: usize) -> bool {
    let header = Header::read(&mut Memory(disk.to_vec())).expect("a header");
    let data = kind.data(&header, disk).expect("segments");
    let plain = kind.plaintext();
    data[..from] == plain[..from] && data[to..] == plain[to..]
}

#[test]
fn an_error_in_an_unprotected_zone_costs_no_other_one() {
    for direction in [Direction::Forward, Direction::Backward] {
        let kind = unprotected(direction);
        let (mut damaged, mut untouched) = (0, 0);
        for fault in (0..).map(Fault::Write).take(12).chain((0..12).map(Fault::Sync)) {
            let mut disk = Recorder::failing(kind.begun(), fault);
            let outcome = run(&kind, &mut disk);
            let (from, to) = match &outcome {
                Err(Error::ZoneDamaged { from, to, .. }) => (from.to_usize(), to.to_usize()),
                _ => (Some(0), Some(0)),
            };
            let (from, to) = (from.expect("small"), to.expect("small"));
            damaged += usize::from(to > from);
            // A failure of the end is repaired by trying it again.
            untouched += usize::from(to == from);
            assert!(
                is_right(&kind, disk.image(), from, to),
                "{direction:?}, {fault:?}: {outcome:?}"
            );
        }
        assert!(damaged > 3 && untouched > 3, "{damaged} {untouched}");
    }
}

/// A disk that cannot read some bytes, or flips a bit of what is written there.
struct Bad {
    disk: Memory,
    unreadable: Option<u64>,
    flips: Option<u64>,
}

impl Storage for Bad {
    fn size(&mut self) -> io::Result<Bytes> {
        self.disk.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        let range = offset.get()..offset.get() + buf.len() as u64;
        match self.unreadable.is_some_and(|at| range.contains(&at)) {
            true => Err(io::Error::from_raw_os_error(5)),
            false => self.disk.read_at(offset, buf),
        }
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()> {
        let mut bytes = buf.to_vec();
        let at = self.flips.and_then(|at| at.checked_sub(offset.get()));
        if let Some(byte) = at.and_then(|at| bytes.get_mut(at as usize)) {
            *byte ^= 1;
        }
        self.disk.write_at(offset, &bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync()
    }
}

#[test]
fn what_cannot_be_read_stays_as_it_is() {
    for direction in [Direction::Forward, Direction::Backward] {
        let kind = unprotected(direction);
        let mut disk = Bad {
            disk: Memory(kind.begun()),
            unreadable: Some(kind.offset as u64 + 6 * 1024),
            flips: None,
        };
        let outcome = run(&kind, &mut disk);
        assert!(matches!(outcome, Err(Error::Io { .. })), "{outcome:?}");
        assert!(is_right(&kind, &disk.disk.0, 0, 0));
        let header = Header::read(&mut disk).expect("a header");
        let found = header.reencryption().expect("a state").running().expect("it goes on");
        assert_eq!(found.active.len(), 2, "the zones before are converted");
    }
}

/// Remembers what it is told.
#[derive(Default)]
struct Log(RefCell<Vec<(Moment, u64)>>);

impl Observer for Log {
    fn observe(&self, moment: Moment, zone: &Zone) -> Result<()> {
        self.0.borrow_mut().push((moment, zone.start.get()));
        Ok(())
    }
}

/// Reads the old bytes of a zone as another thread would, through a descriptor of its own.
fn read(disk: &[u8], zone: &Zone, buffer: &mut [u8]) {
    let start = zone.from.to_usize().expect("small");
    let len = zone.len.to_usize().expect("small");
    buffer[..len].copy_from_slice(&disk[start..start + len]);
}

/// Zone n + 1 is read and converted before zone n is written.
fn run_ahead(kind: &Kind, disk: &mut Memory) -> Vec<(Moment, u64)> {
    let split = kind.split_of_begun();
    let mut header = on_disks(disk, split, |disks| Header::read(disks.header())).expect("a header");
    let verified = reencrypt::verify(&header, &kind.keys(), &limits()).expect("it is");
    let ciphers = Ciphers::new(verified.reencryption(), &kind.keys()).expect("keys");
    let log = Log::default();
    let method = Method {
        verify: true,
        observer: &log,
        ..method(&ciphers, Bytes::kib(4))
    };
    let mut driver = on_disks(disk, split, |disks| Driver::new(&mut header, disks, verified, method)).expect("it is");
    let plan: Plan = driver.plan().clone();
    let prepare = |disk: &Memory, zone: Zone| {
        std::thread::scope(|scope| {
            let prepared = scope.spawn(|| {
                let mut buffer = vec![0; kind.device];
                read(&disk.0[split..], &zone, &mut buffer);
                plan.prepare(zone, buffer, &ciphers)
            });
            prepared.join().expect("no panic").expect("a zone")
        })
    };
    let mut next = driver.next_zone().map(|zone| prepare(disk, zone));
    while let Some(prepared) = next {
        next = driver.zone_behind(&prepared.zone()).map(|zone| prepare(disk, zone));
        let stepped = on_disks(disk, split, |disks| driver.step_prepared(disks, &prepared));
        let expected = if next.is_some() { Next::Zone } else { Next::Done };
        assert_eq!(stepped.expect(kind.name), expected);
        let again = on_disks(disk, split, |disks| driver.step_prepared(disks, &prepared));
        assert!(
            matches!(again, Err(Error::BadParameter { .. } | Error::NoReencryption)),
            "{again:?}"
        );
        assert!(prepared.into_buffer().len() == kind.device);
    }
    log.0.into_inner()
}

#[test]
fn zones_can_be_prepared_ahead_and_read_back_in_each_mode() {
    let unprotected = unprotected(Direction::Backward);
    for kind in KINDS.iter().chain([&unprotected]) {
        let mut disk = Memory(kind.begun());
        let log = run_ahead(kind, &mut disk);
        let split = kind.split_of_begun();
        let header = on_disks(&mut disk, split, |disks| Header::read(disks.header())).expect("a header");
        assert!(!header.in_reencryption(), "{}", kind.name);
        assert_eq!(
            kind.data(&header, &disk.0[split..]),
            Some(kind.plaintext()),
            "{}",
            kind.name
        );
        let moments = [Moment::Begin, Moment::Hot, Moment::Written, Moment::Done];
        assert!(log.len() > 4, "{log:?}");
        for zone in log.chunks(4) {
            assert!(zone.iter().map(|(moment, _)| *moment).eq(moments), "{zone:?}");
            assert!(zone.iter().all(|(_, start)| *start == zone[0].1), "{zone:?}");
        }
    }
}

#[test]
fn a_zone_that_does_not_read_back_is_not_committed() {
    let kind = Kind {
        name: "read back",
        ..IN_PLACE
    };
    let mut disk = Bad {
        disk: Memory(kind.begun()),
        unreadable: None,
        flips: Some(kind.offset as u64 + 5000),
    };
    let mut header = Header::read(&mut disk).expect("a header");
    on_disks(&mut disk, 0, |disks| {
        let verified = reencrypt::verify(&header, &kind.keys(), &limits()).expect("it is");
        let ciphers = Ciphers::new(verified.reencryption(), &kind.keys()).expect("keys");
        let method = Method {
            verify: true,
            ..method(&ciphers, Bytes::kib(4))
        };
        let mut driver = Driver::new(&mut header, disks, verified, method).expect("it is");
        assert_eq!(driver.step(disks).expect("the first zone"), Next::Zone);
        let second = driver.step(disks);
        let Err(Error::NotReadBack { from, to }) = second else {
            panic!("{second:?}")
        };
        assert_eq!((from, to), (Bytes::kib(4), Bytes::kib(8)));
    });
    let header = Header::read(&mut disk).expect("a header");
    let found = header.reencryption().expect("a state").running().expect("it goes on");
    assert_eq!(found.state, reencrypt::State::Crash);
}
