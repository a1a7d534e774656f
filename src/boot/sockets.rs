//! Connecting to a local socket without waiting for its server.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, socket, sockopt};

/// Connects, or fails at once: `EAGAIN` if others are already waiting there. The returned socket does not block.
///
/// # Errors
/// The system's.
pub(super) fn connect_at_once(address: &UnixAddr) -> Result<OwnedFd, Errno> {
    connect_from(None, address)
}

/// [`connect_at_once`], from a socket that has a name of its own.
///
/// # Errors
/// The system's.
pub(super) fn connect_as(own: &UnixAddr, address: &UnixAddr) -> Result<OwnedFd, Errno> {
    connect_from(Some(own), address)
}

fn connect_from(own: Option<&UnixAddr>, address: &UnixAddr) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    if let Some(own) = own {
        bind(stream.as_raw_fd(), own)?;
    }
    connect(stream.as_raw_fd(), address)?;
    Ok(stream)
}

/// Lets reads and writes wait from here on, as long as the socket's own timeouts allow.
///
/// # Errors
/// The system's.
pub(super) fn let_wait(stream: &OwnedFd) -> Result<(), Errno> {
    fcntl(stream.as_fd(), FcntlArg::F_SETFL(OFlag::empty())).map(drop)
}

/// Whether the process at the other end belongs to root, or to the user of this program: no other may see or send
/// secrets.
pub(super) fn is_trusted(stream: &impl std::os::fd::AsFd) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    getsockopt(stream, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}
