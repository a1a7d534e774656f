//! The verbs: what each takes, and who carries it out. [`super::usage`] lays them out.

use std::ffi::OsString;

use super::error::Failure;
use super::session::Session;
use super::{change, cookies, create, deps, info, ls, nodes, remove, splitname, stats, suspend_load, table, targets};

/// What carries a verb out.
type Run = fn(&Session, &[OsString]) -> Result<(), Failure>;

/// One verb.
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// What it does, in a line.
    summary: &'static str,
    /// The arguments after the name in the usage text; lines after the first are indented there.
    synopsis: &'static [&'static str],
    /// The fewest words that it takes.
    least: usize,
    /// The most.
    most: usize,
    pub(super) run: Run,
}

const ANY: usize = usize::MAX;

const fn verb(
    name: &'static str,
    summary: &'static str,
    synopsis: &'static [&'static str],
    least: usize,
    most: usize,
    run: Run,
) -> Verb {
    Verb {
        name,
        summary,
        synopsis,
        least,
        most,
        run,
    }
}

/// All verbs, in the order of the usage text.
const VERBS: &[Verb] = &[
    verb(
        "create",
        "make a device from a table",
        &[
            "<dev_name>",
            "    [-j|--major <major> -m|--minor <minor>]",
            "    [-U|--uid <uid>] [-G|--gid <gid>] [-M|--mode <octal_mode>]",
            "    [-u|--uuid <uuid>] [--addnodeonresume|--addnodeoncreate]",
            "    [--readahead {[+]<sectors>|auto|none}]",
            "    [-n|--notable|--table {<table>|<table_file>}]",
            "create --concise [<concise_device_spec_list>]",
        ],
        0,
        2,
        create::create,
    ),
    verb(
        "remove",
        "remove devices",
        &["[--deferred] [-f|--force] [--retry] <device>..."],
        0,
        ANY,
        remove::remove,
    ),
    verb(
        "remove_all",
        "remove every device that is not in use",
        &["[-f|--force]"],
        0,
        0,
        remove::remove_all,
    ),
    verb(
        "suspend",
        "hold back devices' I/O",
        &["[--noflush] [--nolockfs] <device>..."],
        0,
        ANY,
        suspend_load::suspend,
    ),
    verb(
        "resume",
        "resume I/O, activating the inactive table",
        &[
            "[--noflush] [--nolockfs] <device>...",
            "       [--addnodeonresume|--addnodeoncreate]",
            "       [--readahead {[+]<sectors>|auto|none}]",
        ],
        0,
        ANY,
        suspend_load::resume,
    ),
    verb(
        "load",
        "load a table for the next resume",
        &["<device> [<table>|<table_file>]"],
        0,
        2,
        suspend_load::load,
    ),
    verb(
        "clear",
        "drop the table that was loaded for the next resume",
        &["<device>"],
        0,
        ANY,
        suspend_load::clear,
    ),
    verb(
        "reload",
        "the same as load",
        &["<device> [<table>|<table_file>]"],
        0,
        2,
        suspend_load::load,
    ),
    verb(
        "wipe_table",
        "put a table in place whose every access fails",
        &["[-f|--force] [--noflush] [--nolockfs] <device>..."],
        0,
        ANY,
        suspend_load::wipe_table,
    ),
    verb(
        "rename",
        "change the name of a device, or give it a UUID",
        &["<device> [--setuuid] <new_name_or_uuid>"],
        1,
        2,
        change::rename,
    ),
    verb(
        "measure",
        "show what the kernel's integrity measurement sees of devices",
        &["[<device>...]"],
        0,
        ANY,
        table::measure,
    ),
    verb(
        "message",
        "send a message to a target",
        &["<device> <sector> <message>"],
        2,
        ANY,
        change::message,
    ),
    verb(
        "ls",
        "list devices",
        &["[--target <target_type>] [--exec <command>] [-o <options>] [--tree]"],
        0,
        0,
        ls::ls,
    ),
    verb(
        "info",
        "show the state of devices",
        &["[<device>...]"],
        0,
        ANY,
        info::info,
    ),
    verb(
        "deps",
        "show the devices below a device",
        &["[-o <options>] [<device>...]"],
        0,
        ANY,
        deps::deps,
    ),
    verb(
        "stats",
        "count I/O on regions of devices; called as dmstats too",
        &["<command> [<options>] [<device>...]"],
        0,
        ANY,
        stats::stats,
    ),
    verb(
        "status",
        "show target status",
        &["[<device>...] [--noflush] [--target <target_type>]"],
        0,
        ANY,
        table::status,
    ),
    verb(
        "table",
        "show tables, without their keys unless asked for",
        &["[<device>...] [--concise] [--target <target_type>] [--showkeys]"],
        0,
        ANY,
        table::table,
    ),
    verb(
        "wait",
        "wait for an event of a device",
        &["<device> [<event_nr>] [--noflush]"],
        0,
        2,
        suspend_load::wait,
    ),
    verb(
        "mknodes",
        "put the nodes in /dev/mapper right",
        &["[<device>...]"],
        0,
        ANY,
        nodes::mknodes,
    ),
    verb(
        "mangle",
        "rename devices whose names /dev/mapper cannot take",
        &["[<device>...]"],
        0,
        ANY,
        nodes::mangle,
    ),
    verb(
        "udevcreatecookie",
        "make a cookie to wait for udev with",
        &[""],
        0,
        0,
        cookies::create,
    ),
    verb(
        "udevreleasecookie",
        "wait until udev is done with a cookie, and remove it",
        &["[<cookie>]"],
        0,
        1,
        cookies::release,
    ),
    verb(
        "udevflags",
        "show the flags in a cookie",
        &["<cookie>"],
        1,
        1,
        cookies::flags,
    ),
    verb(
        "udevcomplete",
        "say that udev is done with one event of a cookie",
        &["<cookie>"],
        1,
        1,
        cookies::complete,
    ),
    verb(
        "udevcomplete_all",
        "remove cookies, even those that are waited for",
        &["[<age_in_minutes>]"],
        0,
        1,
        cookies::complete_all,
    ),
    verb("udevcookies", "list cookies", &[""], 0, 0, cookies::list),
    verb(
        "target-version",
        "show the versions of target types",
        &["[<target>...]"],
        1,
        ANY,
        targets::target_version,
    ),
    verb("targets", "list target types", &[""], 0, 0, targets::targets),
    verb(
        "version",
        "show the versions of this program and of the kernel interface",
        &[""],
        0,
        0,
        targets::version,
    ),
    verb(
        "setgeometry",
        "set what a BIOS would see of the shape of a disk",
        &["<device> <cyl> <head> <sect> <start>"],
        4,
        5,
        change::setgeometry,
    ),
    verb(
        "splitname",
        "take a name that LVM made apart",
        &["<device> [<subsystem>]"],
        1,
        2,
        splitname::splitname,
    ),
];

/// The verb by that name.
pub(super) fn find(name: &OsString) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| name == verb.name)
}

impl Verb {
    pub(super) fn takes(&self, words: usize) -> bool {
        (self.least..=self.most).contains(&words)
    }
}

/// Each verb's name, what it takes line by line, and what it does.
pub(super) fn summaries() -> impl Iterator<Item = (&'static str, &'static [&'static str], &'static str)> {
    VERBS.iter().map(|verb| (verb.name, verb.synopsis, verb.summary))
}
