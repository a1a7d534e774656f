//! System V semaphores, as far as udev cookies need them, and the time zone that their times are shown in: the one file
//! with `unsafe` for them.
#![allow(unsafe_code)]

use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

/// `struct __kernel_timespec`: 64 bits each on every machine, whatever the C library's `timespec` is.
#[repr(C)]
struct Limit {
    seconds: i64,
    nanoseconds: i64,
}

/// The system call that takes such a limit. On 32-bit machines the old one takes another, and this one (Linux 5.1, the same
/// number everywhere) came with it.
#[cfg(target_pointer_width = "64")]
const SEMTIMEDOP: libc::c_long = libc::SYS_semtimedop;
#[cfg(not(target_pointer_width = "64"))]
const SEMTIMEDOP: libc::c_long = 420;

/// A set of one semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Semaphore {
    id: libc::c_int,
}

impl Semaphore {
    /// Makes a new one under `key`. `EEXIST` where the key is taken, `ENOSYS` where the kernel has none.
    pub(super) fn create(key: u32) -> Result<Self, Errno> {
        Self::get(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600)
    }

    /// Finds the one under `key`. `ENOENT` where there is none.
    pub(super) fn open(key: u32) -> Result<Self, Errno> {
        Self::get(key, 0)
    }

    /// The one with this number, which is never reused.
    pub(super) fn of_id(id: i32) -> Self {
        Self { id }
    }

    fn get(key: u32, flags: libc::c_int) -> Result<Self, Errno> {
        // SAFETY: semget takes three numbers and touches no memory of ours.
        let id = unsafe { libc::semget(key as libc::key_t, 1, flags) };
        Errno::result(id).map(|id| Self { id })
    }

    /// Sets the value.
    pub(super) fn set(self, value: u16) -> Result<(), Errno> {
        // SAFETY: SETVAL reads its fourth argument as the `int` member of `union semun`, which is passed like a bare
        // int widened to the union's size; it touches no memory of ours.
        let result = unsafe { libc::semctl(self.id, 0, libc::SETVAL, libc::c_long::from(value)) };
        Errno::result(result).map(drop)
    }

    /// The value.
    pub(super) fn value(self) -> Result<u16, Errno> {
        // SAFETY: GETVAL takes no fourth argument and touches no memory of ours.
        let result = unsafe { libc::semctl(self.id, 0, libc::GETVAL) };
        Errno::result(result).map(|value| value as u16)
    }

    /// How many processes wait for the value to be zero.
    pub(super) fn waiters(self) -> Result<u32, Errno> {
        // SAFETY: GETZCNT takes no fourth argument and touches no memory of ours.
        let result = unsafe { libc::semctl(self.id, 0, libc::GETZCNT) };
        Errno::result(result).map(|count| count as u32)
    }

    /// Adds to the value, or takes from it: `EAGAIN` where that is below zero.
    pub(super) fn add(self, difference: i16) -> Result<(), Errno> {
        self.operate(difference, libc::IPC_NOWAIT, None)
    }

    /// Like `add`, but until this process ends: the kernel then undoes it, however the process ends.
    pub(super) fn add_for_now(self, difference: i16) -> Result<(), Errno> {
        self.operate(difference, libc::IPC_NOWAIT | libc::SEM_UNDO, None)
    }

    /// Returns when the value is zero: `EAGAIN` where that takes too long, `EIDRM` where the set is removed first.
    pub(super) fn wait_for_zero(self, limit: Duration) -> Result<(), Errno> {
        self.operate(0, 0, Some(limit))
    }

    fn operate(self, op: i16, flags: libc::c_int, limit: Option<Duration>) -> Result<(), Errno> {
        let mut operation = libc::sembuf {
            sem_num: 0,
            sem_op: op,
            sem_flg: flags as libc::c_short,
        };
        let limit = limit.map(|limit| Limit {
            seconds: limit.as_secs().try_into().unwrap_or(i64::MAX),
            nanoseconds: limit.subsec_nanos().into(),
        });
        let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the array is one live `sembuf` and its count is 1; the time limit is null or a live structure of the
        // layout that this system call has. The kernel only reads both, during the call.
        let result = unsafe { libc::syscall(SEMTIMEDOP, self.id, &raw mut operation, 1_usize, limit) };
        Errno::result(result).map(drop)
    }

    /// Removes it; processes that wait on it are woken with an error.
    pub(super) fn remove(self) -> Result<(), Errno> {
        // SAFETY: IPC_RMID takes no fourth argument and touches no memory of ours.
        let result = unsafe { libc::semctl(self.id, 0, libc::IPC_RMID) };
        Errno::result(result).map(drop)
    }
}

/// How many seconds the local time is ahead of UTC at a time in seconds since 1970; 0 where that is unknown.
pub(super) fn ahead_of_utc(time: i64) -> i64 {
    // SAFETY: all of the structure's fields may be zero, the pointers in it too.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: localtime_r reads a number and writes a `tm`, both of them alive and ours. It reads TZ from the environment,
    // which nothing in this program writes to.
    let known = unsafe { libc::localtime_r(&raw const time, &raw mut parts) };
    if known.is_null() { 0 } else { parts.tm_gmtoff }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semaphore_counts_and_ends() {
        let key = 0x1abc_0000 | (std::process::id() & 0xffff);
        let semaphore = Semaphore::create(key).expect("System V semaphores");
        assert_eq!(Semaphore::create(key), Err(Errno::EEXIST));
        assert_eq!(Semaphore::open(key), Ok(semaphore));
        semaphore.set(1).expect("set");
        semaphore.add(1).expect("add");
        assert_eq!(semaphore.value(), Ok(2));
        assert_eq!(semaphore.wait_for_zero(Duration::from_millis(10)), Err(Errno::EAGAIN));
        semaphore.add(-2).expect("take");
        assert_eq!(semaphore.add(-1), Err(Errno::EAGAIN));
        semaphore.wait_for_zero(Duration::from_millis(10)).expect("zero");
        semaphore.add_for_now(2).expect("add");
        assert_eq!(semaphore.value(), Ok(2));
        assert_eq!(semaphore.waiters(), Ok(0));
        semaphore.remove().expect("remove");
        assert_eq!(Semaphore::open(key), Err(Errno::ENOENT));
        assert_eq!(semaphore.value(), Err(Errno::EINVAL));
    }
}
