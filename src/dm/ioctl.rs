//! The ioctls of the device-mapper: the one file with `unsafe` for them, and one way through it, [`Control::call`].
//!
//! The layout is the kernel's `linux/dm-ioctl.h`. Requests are built and replies are read as bytes at fixed offsets,
//! through slices that check their bounds; no pointer is ever cast. The buffer is a [`Secret`]: locked, and wiped after
//! every call that may have carried a key. Lists of devices and of target types have a buffer of their own, since they are
//! much longer than other replies.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use keyslots::secret::Secret;
use nix::errno::Errno;
use nix::libc;
use zeroize::Zeroize;

use super::command::{Command, Version, flags};
use super::control;
use super::error::{DmError, system_text};
use crate::log;

/// `_IOWR(0xfd, …)`, the group that the kernel gave the device-mapper.
const GROUP: u8 = 0xfd;
/// The room for a list of devices at first: about a thousand. The kernel walks over all of them to find that it is too small.
const LIST_ROOM: usize = 64 * 1024;
/// Enough room for most other replies. The kernel copies and wipes as much as it is offered, with every request.
const COMMON_ROOM: usize = 4 * 1024;
/// The most room that later replies are offered because an earlier one needed it.
const MOST_OFFERED: usize = 16 * 1024;
/// The limit of growing: a list of a hundred thousand devices fits.
const LARGEST_BUFFER: usize = 64 * 1024 * 1024;
/// The oldest interface we speak, and the one we ask for: later minors only add to it.
const ASKED_VERSION: Version = Version {
    major: 4,
    minor: 0,
    patch: 0,
};

/// `struct dm_ioctl`. Only its layout is used.
#[repr(C)]
struct Layout {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// Bytes of the fixed part in front of every request and reply.
pub(super) const HEADER: usize = size_of::<Layout>();
const _: () = assert!(HEADER == 312 && offset_of!(Layout, dev) == 40 && offset_of!(Layout, uuid) == 176);

impl Command {
    fn opcode(self) -> libc::Ioctl {
        nix::request_code_readwrite!(GROUP, (self as u8) & 0x7f, HEADER) as libc::Ioctl
    }

    /// Whether repeating the request is harmless, so that a reply that did not fit can be requested again.
    fn repeatable(self) -> bool {
        matches!(
            self,
            Self::Version
                | Self::List
                | Self::Info
                | Self::Deps
                | Self::Table
                | Self::Status
                | Self::Targets
                | Self::TargetVersion
        )
    }
}

/// One request. What is left empty is zero in the kernel's structure.
#[derive(Clone, Copy, Default)]
pub(super) struct Request<'a> {
    pub(super) name: &'a [u8],
    pub(super) uuid: &'a [u8],
    pub(super) dev: u64,
    pub(super) flags: u32,
    pub(super) event_nr: u32,
    pub(super) target_count: u32,
    pub(super) payload: &'a [u8],
    /// Room that the reply will need; for a message, which must not be sent twice.
    pub(super) reply_room: usize,
}

/// One reply, as long as its buffer is borrowed.
pub(super) struct Reply<'a> {
    pub(super) version: Version,
    pub(super) target_count: u32,
    pub(super) open_count: i32,
    pub(super) flags: u32,
    pub(super) event_nr: u32,
    pub(super) dev: u64,
    pub(super) name: &'a [u8],
    pub(super) uuid: &'a [u8],
    /// From `data_start` to `data_size`, both checked against the buffer.
    pub(super) data: &'a [u8],
}

/// `/dev/mapper/control`, opened.
pub(super) struct Control {
    file: File,
    version: Version,
    buffer: RefCell<Buffer>,
}

/// The buffer for requests and replies.
struct Buffer {
    bytes: Secret,
    /// How much of it may be nonzero: wiping all of it would take longer than most requests.
    used: usize,
    /// The room that the next request offers for its reply.
    common: usize,
}

impl Control {
    /// Opens the control node, which is made where it is missing, and agrees on a version.
    pub(super) fn open() -> Result<Self, DmError> {
        let file = control::open_node()?;
        let buffer = RefCell::new(Buffer {
            bytes: Secret::zeroed(COMMON_ROOM).map_err(DmError::Memory)?,
            used: 0,
            common: COMMON_ROOM,
        });
        let mut control = Self {
            file,
            version: ASKED_VERSION,
            buffer,
        };
        let version = control.call(Command::Version, &Request::default(), "", |reply| Ok(reply.version))?;
        if version.major != ASKED_VERSION.major {
            return Err(DmError::Version { kernel: version });
        }
        control.version = version;
        Ok(control)
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// For polling on device events.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Sends one request and hands the reply to `read`. `device` names the device in errors. A reply that does not fit
    /// is requested again with more room where that is harmless.
    pub(super) fn call<T>(
        &self,
        command: Command,
        request: &Request<'_>,
        device: impl fmt::Display,
        read: impl Fn(&Reply<'_>) -> Result<T, &'static str>,
    ) -> Result<T, DmError> {
        let mut buffer = self.buffer.borrow_mut();
        let needed = HEADER + request.payload.len().max(request.reply_room);
        let mut room = needed.max(buffer.common);
        loop {
            buffer.make_room(room, command)?;
            buffer.wipe();
            // Until it is known to be less.
            buffer.used = room;
            let offered = &mut buffer.bytes.expose_mut()[..room];
            let answer = self.exchange(command, request, &device, offered, &read);
            buffer.used = touched(request, &buffer.bytes.expose()[..room]);
            if request.flags & flags::SECURE_DATA != 0 {
                buffer.wipe();
            }
            match answer? {
                Some(value) => return Ok(value),
                None if command.repeatable() => {
                    room = room.saturating_mul(2);
                    // Others like it will need as much.
                    buffer.common = room.min(MOST_OFFERED);
                }
                None => return Err(DmError::ReplyTooLarge { command }),
            }
        }
    }

    /// As [`Control::call`], for what lists all devices or target types.
    pub(super) fn list<T>(
        &self,
        command: Command,
        request: &Request<'_>,
        read: impl Fn(&Reply<'_>) -> Result<T, &'static str>,
    ) -> Result<T, DmError> {
        let mut room = LIST_ROOM;
        while room <= LARGEST_BUFFER {
            // Not a secret, but memory that is mapped already: the kernel would meet each page of other memory as a fault,
            // twice.
            let mut buffer = Secret::zeroed(room).map_err(DmError::Memory)?;
            if let Some(value) = self.exchange(command, request, "", buffer.expose_mut(), &read)? {
                return Ok(value);
            }
            room *= 4;
        }
        Err(DmError::ReplyTooLarge { command })
    }

    /// Sends one request in a buffer of zeros. `None` where the reply does not fit there.
    fn exchange<T>(
        &self,
        command: Command,
        request: &Request<'_>,
        device: impl fmt::Display,
        buffer: &mut [u8],
        read: impl Fn(&Reply<'_>) -> Result<T, &'static str>,
    ) -> Result<Option<T>, DmError> {
        encode(request, buffer).map_err(|defect| DmError::BadRequest { command, defect })?;
        let answer = self.ioctl(command, buffer);
        let outcome = answer.map_or_else(system_text, |()| "ok");
        // Nothing of the payload: it may hold a key.
        log::debug(format_args!(
            "dm {} {device} [{}]: {outcome}",
            command.name(),
            flags::names(request.flags)
        ));
        answer.map_err(|errno| DmError::Ioctl {
            command,
            device: device.to_string(),
            errno,
        })?;
        let reply = match decode(buffer) {
            Ok(reply) if reply.flags & flags::BUFFER_FULL != 0 => return Ok(None),
            reply => reply.and_then(|reply| read(&reply)),
        };
        reply.map(Some).map_err(|defect| DmError::BadReply { command, defect })
    }

    fn ioctl(&self, command: Command, buffer: &mut [u8]) -> Result<(), Errno> {
        // SAFETY: the kernel reads and writes at most the `data_size` bytes that the header names, and `encode` has
        // set that to the length of this very slice, which is at least `HEADER` bytes and exclusively borrowed here.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), command.opcode(), buffer.as_mut_ptr()) };
        Errno::result(result).map(drop)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Buffer {
    /// Makes sure that there are `len` bytes.
    fn make_room(&mut self, len: usize, command: Command) -> Result<(), DmError> {
        if len > LARGEST_BUFFER {
            return Err(DmError::ReplyTooLarge { command });
        }
        if self.bytes.len() < len {
            self.bytes = Secret::zeroed(len.next_power_of_two()).map_err(DmError::Memory)?;
            self.used = 0;
        }
        Ok(())
    }

    fn wipe(&mut self) {
        self.bytes.expose_mut()[..self.used].zeroize();
        self.used = 0;
    }
}

/// How much of the buffer a request and its reply have written to: the kernel copies out as many bytes as the reply's
/// header states.
fn touched(request: &Request<'_>, buffer: &[u8]) -> usize {
    let reply = super::wire::u32_at(buffer, offset_of!(Layout, data_size)).unwrap_or(u32::MAX);
    (reply as usize).max(HEADER + request.payload.len()).min(buffer.len())
}

/// Writes the request into a buffer of zeros.
fn encode(request: &Request<'_>, buffer: &mut [u8]) -> Result<(), &'static str> {
    if request.name.len() >= 128 || request.uuid.len() >= 129 {
        return Err("a name or a UUID is longer than its field");
    }
    let Ok(size) = u32::try_from(buffer.len()) else {
        return Err("the buffer is larger than its field can say");
    };
    let Some(room) = buffer.len().checked_sub(HEADER) else {
        return Err("the buffer is smaller than its header");
    };
    if room < request.payload.len() {
        return Err("the payload is larger than the buffer");
    }
    let mut put = |offset: usize, bytes: &[u8]| buffer[offset..offset + bytes.len()].copy_from_slice(bytes);
    for (i, part) in [ASKED_VERSION.major, ASKED_VERSION.minor, ASKED_VERSION.patch]
        .into_iter()
        .enumerate()
    {
        put(4 * i, &part.to_ne_bytes());
    }
    put(offset_of!(Layout, data_size), &size.to_ne_bytes());
    put(offset_of!(Layout, data_start), &(HEADER as u32).to_ne_bytes());
    put(offset_of!(Layout, target_count), &request.target_count.to_ne_bytes());
    put(offset_of!(Layout, flags), &request.flags.to_ne_bytes());
    put(offset_of!(Layout, event_nr), &request.event_nr.to_ne_bytes());
    put(offset_of!(Layout, dev), &request.dev.to_ne_bytes());
    put(offset_of!(Layout, name), request.name);
    put(offset_of!(Layout, uuid), request.uuid);
    put(HEADER, request.payload);
    Ok(())
}

fn decode(buffer: &[u8]) -> Result<Reply<'_>, &'static str> {
    let short = "the reply is shorter than its header";
    let word = |offset: usize| super::wire::u32_at(buffer, offset).ok_or(short);
    let text = |offset: usize, len: usize| {
        let field = buffer.get(offset..offset + len).ok_or(short)?;
        super::wire::until_nul(field).ok_or("a name without an end")
    };
    let flags = word(offset_of!(Layout, flags))?;
    let (start, size) = (
        word(offset_of!(Layout, data_start))? as usize,
        word(offset_of!(Layout, data_size))? as usize,
    );
    // A reply that did not fit has no usable data, and some have none at all.
    let data = if flags & flags::BUFFER_FULL != 0 || size <= start {
        &[]
    } else {
        buffer.get(start..size).ok_or("the data lies outside of the buffer")?
    };
    Ok(Reply {
        version: Version {
            major: word(0)?,
            minor: word(4)?,
            patch: word(8)?,
        },
        target_count: word(offset_of!(Layout, target_count))?,
        open_count: word(offset_of!(Layout, open_count))? as i32,
        flags,
        event_nr: word(offset_of!(Layout, event_nr))?,
        dev: super::wire::u64_at(buffer, offset_of!(Layout, dev)).ok_or(short)?,
        name: text(offset_of!(Layout, name), 128)?,
        uuid: text(offset_of!(Layout, uuid), 129)?,
        data,
    })
}

#[cfg(test)]
mod tests {
    mod kernel_header;

    use super::*;

    fn buffer_with(request: &Request<'_>, len: usize) -> Vec<u8> {
        let mut buffer = vec![0; len];
        encode(request, &mut buffer).expect("a good request");
        buffer
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let request = Request {
            name: b"some",
            uuid: b"CRYPT-x",
            dev: 0xfd03,
            flags: flags::READONLY,
            event_nr: 7,
            target_count: 2,
            payload: b"payload",
            reply_room: 0,
        };
        let buffer = buffer_with(&request, 400);
        let reply = decode(&buffer).expect("a good reply");
        assert_eq!(
            (reply.name, reply.uuid, reply.dev),
            (&b"some"[..], &b"CRYPT-x"[..], 0xfd03)
        );
        assert_eq!(
            (reply.flags, reply.event_nr, reply.target_count),
            (flags::READONLY, 7, 2)
        );
        assert_eq!(reply.data.len(), 400 - HEADER);
        assert!(reply.data.starts_with(b"payload\0"));
    }

    #[test]
    fn all_that_a_call_has_touched_is_wiped() {
        let request = Request {
            payload: &[1; 40],
            ..Request::default()
        };
        let mut buffer = Buffer {
            bytes: Secret::zeroed(1024).expect("a page"),
            used: 0,
            common: COMMON_ROOM,
        };
        // The kernel's figure, where it is more than was sent; all of it, where it makes no sense.
        for (said, touched_bytes) in [(305, HEADER + 40), (600, 600), (1024, 1024), (u32::MAX, 1024)] {
            encode(&request, buffer.bytes.expose_mut()).expect("a good request");
            let size = offset_of!(Layout, data_size);
            buffer.bytes.expose_mut()[size..size + 4].copy_from_slice(&said.to_ne_bytes());
            buffer.bytes.expose_mut()[HEADER..touched_bytes].fill(0xaa);
            buffer.used = touched(&request, buffer.bytes.expose());
            assert_eq!(buffer.used, touched_bytes);
            buffer.wipe();
            assert!(buffer.bytes.expose().iter().all(|byte| *byte == 0), "{said}");
        }
    }

    #[test]
    fn a_request_that_does_not_fit_is_none() {
        let request = Request {
            payload: &[1; 10],
            ..Request::default()
        };
        assert!(encode(&request, &mut [0; HEADER + 9]).is_err());
        assert!(encode(&Request::default(), &mut [0; HEADER - 1]).is_err());
        assert!(
            encode(
                &Request {
                    name: &[b'a'; 128],
                    ..Request::default()
                },
                &mut [0; 400]
            )
            .is_err()
        );
        assert!(
            encode(
                &Request {
                    uuid: &[b'a'; 129],
                    ..Request::default()
                },
                &mut [0; 400]
            )
            .is_err()
        );
    }

    #[test]
    fn a_reply_cannot_point_out_of_its_buffer() {
        let mut buffer = buffer_with(&Request::default(), 400);
        let set = |buffer: &mut [u8], offset: usize, value: u32| {
            buffer[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        };
        set(&mut buffer, offset_of!(Layout, data_size), 401);
        assert!(decode(&buffer).is_err());
        set(&mut buffer, offset_of!(Layout, data_size), u32::MAX);
        assert!(decode(&buffer).is_err());
        set(&mut buffer, offset_of!(Layout, data_size), 400);
        set(&mut buffer, offset_of!(Layout, data_start), u32::MAX);
        assert!(decode(&buffer).is_ok_and(|reply| reply.data.is_empty()));
        let name = offset_of!(Layout, name);
        buffer[name..name + 128].fill(b'a');
        assert!(decode(&buffer).is_err());
        assert!(decode(&buffer[..300]).is_err());
    }
}
