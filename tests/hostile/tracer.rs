//! One run of the program with a fault in one of its system calls, or in many: an error instead of the call, a short
//! read or write, a signal; and a look into its memory when it ends.
//!
//! By ptrace(2), since a fault has to come at a certain call of a program that is otherwise the real one.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output};
use std::time::Instant;

use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{SigHandler, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::lab::{Lab, OURS, PATIENCE};

/// The object of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    Sync,
    /// Anything else, on whatever file.
    Other,
}

/// The fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not made and fails with this error.
    Error(i32),
    /// It is made for one byte, or for this many.
    Short(u64),
    /// This signal is delivered as it is made.
    Signal(Signal),
    /// The volume becomes the file `other` before it is made.
    Swap,
}

/// The place of a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) fault: Fault,
    /// The call of that kind, from 0.
    pub(crate) at: usize,
    /// To all that follow too.
    pub(crate) from_then_on: bool,
}

/// The outcome.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) output: Output,
    /// The number of calls of each kind on files of the folder; `Other` counts all others wherever they are.
    pub(crate) reads: usize,
    pub(crate) writes: usize,
    pub(crate) syncs: usize,
    pub(crate) others: usize,
    /// The writable memory at its end, if requested: its line of /proc/PID/maps, and the bytes.
    pub(crate) memory: Vec<(String, Vec<u8>)>,
}

/// No command of these tests makes so many calls.
const MOST_CALLS: usize = 400_000;

/// Runs `words` in the folder, with `plan` or undisturbed. `looking` keeps the memory at the end.
pub(crate) fn run(lab: &Lab, words: &[&str], plan: Option<Plan>, looking: bool) -> Ran {
    let out = tempfile::tempfile().expect("a file");
    let err = tempfile::tempfile().expect("a file");
    let mut command = lab.command(OURS, words);
    command
        .stdout(out.try_clone().expect("a descriptor"))
        .stderr(err.try_clone().expect("a descriptor"));
    command.process_group(0);
    let status = trace(
        &mut command,
        &lab.0.path().canonicalize().expect("a folder"),
        plan,
        looking,
    );
    let text = |mut file: fs::File| {
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0)).expect("a file");
        file.read_to_end(&mut text).expect("a file");
        text
    };
    let (status, mut ran) = status;
    ran.output = Output {
        status,
        stdout: text(out),
        stderr: text(err),
    };
    ran
}

#[expect(clippy::zombie_processes, reason = "it is waited for with all its threads")]
fn trace(command: &mut Command, folder: &std::path::Path, plan: Option<Plan>, looking: bool) -> (ExitStatus, Ran) {
    // SAFETY: between fork and exec, this only makes system calls, and sets no handler.
    #[expect(unsafe_code, reason = "there is no other way to be traced from the first call on")]
    unsafe {
        command.pre_exec(|| {
            // The parent of the tests may ignore signals: a shell does so for what it starts in the background.
            for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
                nix::sys::signal::signal(signal, SigHandler::SigDfl)?;
            }
            ptrace::traceme().map_err(Into::into)
        });
    }
    let child = command.spawn().expect("the program starts");
    let leader = Pid::from_raw(child.id().try_into().expect("a process"));
    waitpid(leader, None).expect("the program stops when it is loaded");
    let mut options = ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_EXITKILL;
    if looking {
        options |= ptrace::Options::PTRACE_O_TRACEEXIT;
    }
    ptrace::setoptions(leader, options).expect("a traced process");
    ptrace::syscall(leader, None).expect("a traced process");

    let mut tracer = Tracer {
        folder: folder.to_owned(),
        leader,
        plan,
        inside: Vec::new(),
        counts: [0; 4],
        calls: 0,
        memory: Vec::new(),
        start: Instant::now(),
    };
    let status = tracer.until_the_end();
    let [reads, writes, syncs, others] = tracer.counts;
    let output = Output {
        status,
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    let memory = tracer.memory;
    let ran = Ran {
        output,
        reads,
        writes,
        syncs,
        others,
        memory,
    };
    (status, ran)
}

struct Tracer {
    folder: PathBuf,
    leader: Pid,
    plan: Option<Plan>,
    /// The threads within a call, and what it will return in place of its own answer.
    inside: Vec<(Pid, Option<i32>)>,
    counts: [usize; 4],
    calls: usize,
    memory: Vec<(String, Vec<u8>)>,
    start: Instant,
}

impl Tracer {
    fn until_the_end(&mut self) -> ExitStatus {
        let group = Pid::from_raw(-self.leader.as_raw());
        loop {
            let (thread, signal) = match waitpid(group, Some(WaitPidFlag::__WALL)).expect("a traced process") {
                WaitStatus::Exited(pid, code) if pid == self.leader => return ExitStatus::from_raw(code << 8),
                WaitStatus::Signaled(pid, signal, _) if pid == self.leader => {
                    return ExitStatus::from_raw(signal as i32);
                }
                WaitStatus::PtraceSyscall(pid) => {
                    self.call(pid);
                    (pid, None)
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    if event == libc::PTRACE_EVENT_EXIT && pid == self.leader {
                        self.memory = memory_of(pid);
                    }
                    (pid, None)
                }
                // A new thread's first stop is not for it.
                WaitStatus::Stopped(pid, Signal::SIGSTOP) => (pid, None),
                WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
                _ => continue,
            };
            self.calls += 1;
            if self.calls > MOST_CALLS || self.start.elapsed() > PATIENCE {
                let _ = kill(self.leader, Signal::SIGKILL);
                panic!("{:?}: no end after {} stops", self.plan, self.calls);
            }
            // It may have been killed meanwhile, which the next wait tells.
            let _ = ptrace::syscall(thread, signal);
        }
    }

    /// One stop at a call, before it is made or after.
    fn call(&mut self, thread: Pid) {
        let Ok(mut registers) = ptrace::getregs(thread) else {
            return;
        };
        if let Some(at) = self.inside.iter().position(|(inside, _)| *inside == thread) {
            if let (_, Some(error)) = self.inside.swap_remove(at) {
                registers.rax = i64::from(-error).cast_unsigned();
                let _ = ptrace::setregs(thread, registers);
            }
            return;
        }
        let (kind, len) = self.kind(thread, &registers);
        let count = &mut self.counts[kind as usize];
        let nth = *count;
        *count += 1;
        let mut instead = None;
        if let Some(plan) = self.plan
            && plan.kind == kind
            && (nth == plan.at || plan.from_then_on && nth > plan.at)
        {
            match plan.fault {
                Fault::Error(error) => {
                    registers.orig_rax = u64::MAX;
                    let _ = ptrace::setregs(thread, registers);
                    instead = Some(error);
                }
                Fault::Short(most) => {
                    registers.rdx = len.min(most);
                    let _ = ptrace::setregs(thread, registers);
                }
                Fault::Swap => {
                    let other = fs::read(self.folder.join("other")).expect("the other volume");
                    fs::write(self.folder.join("v"), other).expect("the volume");
                }
                Fault::Signal(Signal::SIGKILL) => drop(kill(self.leader, Signal::SIGKILL)),
                // It is delivered like any other, at a stop of its own.
                Fault::Signal(other) => drop(kill(self.leader, other)),
            }
        }
        self.inside.push((thread, instead));
    }

    fn kind(&self, thread: Pid, registers: &libc::user_regs_struct) -> (Kind, u64) {
        let kind = match registers.orig_rax.cast_signed() {
            libc::SYS_read | libc::SYS_pread64 => Kind::Read,
            libc::SYS_write | libc::SYS_pwrite64 => Kind::Write,
            libc::SYS_fsync | libc::SYS_fdatasync => Kind::Sync,
            _ => return (Kind::Other, 0),
        };
        let file = fs::read_link(format!("/proc/{thread}/fd/{}", registers.rdi)).unwrap_or_default();
        if file.starts_with(&self.folder) {
            (kind, registers.rdx)
        } else {
            (Kind::Other, 0)
        }
    }
}

/// All memory of a process that can still be read.
fn memory_of(process: Pid) -> Vec<(String, Vec<u8>)> {
    let Ok(maps) = fs::read_to_string(format!("/proc/{process}/maps")) else {
        return Vec::new();
    };
    let memory = fs::File::open(format!("/proc/{process}/mem")).expect("memory of a traced process");
    maps.lines()
        .filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (from, to) = range.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            let (from, to) = (number(from)?, number(to)?);
            let mut bytes = vec![0; usize::try_from(to - from).ok()?];
            (rest.starts_with("rw") && memory.read_exact_at(&mut bytes, from).is_ok()).then(|| (line.to_owned(), bytes))
        })
        .collect()
}
