//! Copying, with reading and writing in parallel.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd as _;
use std::sync::mpsc::sync_channel;
use std::thread;

use keyslots::secret::wipe_stack;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes of a chunk: whole sectors of any size, and enough for several processors.
pub const PUMP_CHUNK: usize = 4 << 20;
/// Chunks under way: one is read, one waits, one is written.
const CHUNKS: usize = 3;

/// The side of a copy that failed.
#[derive(Debug)]
pub enum PumpError {
    /// Reading.
    Source(io::Error),
    /// Writing.
    Sink(io::Error),
}

/// An input that may stay silent for ever, such as a pipe, until [`Stop`] is dropped: then it ends.
#[derive(Debug)]
pub struct Stoppable {
    input: File,
    stopped: PipeReader,
}

/// Ends the reading of a [`Stoppable`] when it is dropped.
#[derive(Debug)]
pub struct Stop(#[expect(dead_code, reason = "the other end sees that it is closed")] PipeWriter);

impl Stoppable {
    /// Wraps an input that has not been buffered.
    ///
    /// # Errors
    /// The system's, without file descriptors.
    pub fn new(input: File) -> io::Result<(Self, Stop)> {
        let (stopped, stop) = io::pipe()?;
        Ok((Self { input, stopped }, Stop(stop)))
    }
}

impl Read for Stoppable {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut waiting = [
            PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.input.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut waiting, PollTimeout::NONE)?;
        if waiting[0].any() == Some(true) {
            return Ok(0);
        }
        self.input.read(buf)
    }
}

/// Passes chunks on from `fill`, which returns their length and zero at the end, to `drain`. The two run in parallel; chunks
/// stay in order, and all but the last are as long as `fill` made them. When `drain` has failed, `stop` is dropped, so that a
/// silent input does not block the end.
///
/// # Errors
/// The first failure of either side.
pub fn pump(
    stop: &mut Option<Stop>,
    mut fill: impl FnMut(&mut [u8]) -> io::Result<usize> + Send,
    mut drain: impl FnMut(&mut [u8]) -> io::Result<()>,
) -> Result<(), PumpError> {
    thread::scope(|scope| {
        let (full, filled) = sync_channel::<(Vec<u8>, usize)>(CHUNKS);
        let (empty, emptied) = sync_channel(CHUNKS);
        for _ in 0..CHUNKS {
            // There is room for all of them.
            let _ = empty.send(vec![0; PUMP_CHUNK]);
        }
        let source = move || -> io::Result<()> {
            // The channels close when the other side has failed, which then has the error.
            let mut outcome = Ok(());
            while let Ok(mut chunk) = emptied.recv() {
                match fill(&mut chunk) {
                    Ok(len @ 1..) if full.send((chunk, len)).is_ok() => {}
                    Ok(_) => break,
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                }
            }
            wipe_stack();
            outcome
        };
        let source = thread::Builder::new()
            .spawn_scoped(scope, source)
            .map_err(PumpError::Source)?;
        let mut outcome = Ok(());
        while let Ok((mut chunk, len)) = filled.recv() {
            outcome = drain(&mut chunk[..len]).map_err(PumpError::Sink);
            if outcome.is_err() {
                stop.take();
                break;
            }
            // The source may have ended, with chunks still to come.
            let _ = empty.send(chunk);
        }
        drop((empty, filled));
        let read = source
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reader has panicked")));
        outcome.and(read.map_err(PumpError::Source))
    })
}

/// Reads until `buf` is full or the input ends; a pipe hands out less at a time.
///
/// # Errors
/// The input's.
pub fn read_full(input: &mut (impl io::Read + ?Sized), buf: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match input.read(&mut buf[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_in_order() {
        let mut left = (0..20_u8).collect::<Vec<_>>().into_iter();
        let mut arrived = Vec::new();
        let fill = |chunk: &mut [u8]| {
            Ok(left.next().map_or(0, |n| {
                chunk[..100].fill(n);
                100
            }))
        };
        pump(&mut None, fill, |chunk| {
            assert_eq!(chunk.len(), 100);
            arrived.push(chunk[99]);
            Ok(())
        })
        .expect("no failure");
        assert_eq!(arrived, (0..20).collect::<Vec<u8>>());
    }

    #[test]
    fn either_side_can_fail() {
        let failed = |_: &mut [u8]| Err(io::ErrorKind::Other.into());
        assert!(matches!(pump(&mut None, failed, |_| Ok(())), Err(PumpError::Source(_))));
        let endless = |chunk: &mut [u8]| Ok(chunk.len());
        assert!(matches!(
            pump(&mut None, endless, |_| Err(io::ErrorKind::StorageFull.into())),
            Err(PumpError::Sink(_))
        ));
    }

    /// It waited for the pipe, for ever.
    #[test]
    fn a_silent_input_does_not_keep_a_failure_from_being_told() {
        use std::io::Write as _;
        let (reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(b"something").expect("room");
        let (mut input, stop) = Stoppable::new(File::from(std::os::fd::OwnedFd::from(reader))).expect("a pipe");
        let fill = |chunk: &mut [u8]| input.read(chunk);
        let full = |_: &mut [u8]| Err(io::ErrorKind::StorageFull.into());
        assert!(matches!(pump(&mut Some(stop), fill, full), Err(PumpError::Sink(_))));
        drop(writer);
    }

    #[test]
    fn a_dribbling_input_fills_the_buffer() {
        struct Dribble(usize);
        impl io::Read for Dribble {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let n = self.0.min(3).min(buf.len());
                self.0 -= n;
                Ok(n)
            }
        }
        assert_eq!(read_full(&mut Dribble(10), &mut [0; 7]).expect("data"), 7);
        assert_eq!(read_full(&mut Dribble(10), &mut [0; 70]).expect("data"), 10);
    }
}
