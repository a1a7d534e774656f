//! The verbs: what each takes, and who carries it out.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::error::Failure;
use super::session::Session;
use super::{change, cookies, create, deps, info, ls, nodes, remove, splitname, state, table, targets};

/// What carries a verb out.
type Run = fn(&Session, &[OsString]) -> Result<(), Failure>;

/// One verb.
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// What stands behind the name in the usage text; lines after the first are indented there.
    synopsis: &'static [&'static str],
    /// The fewest words that it takes.
    least: usize,
    /// The most.
    most: usize,
    pub(super) run: Run,
}

const ANY: usize = usize::MAX;

const fn verb(name: &'static str, synopsis: &'static [&'static str], least: usize, most: usize, run: Run) -> Verb {
    Verb {
        name,
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
        &["[--deferred] [-f|--force] [--retry] <device>..."],
        0,
        ANY,
        remove::remove,
    ),
    verb("remove_all", &["[-f|--force]"], 0, 0, remove::remove_all),
    verb(
        "suspend",
        &["[--noflush] [--nolockfs] <device>..."],
        0,
        ANY,
        state::suspend,
    ),
    verb(
        "resume",
        &[
            "[--noflush] [--nolockfs] <device>...",
            "       [--addnodeonresume|--addnodeoncreate]",
            "       [--readahead {[+]<sectors>|auto|none}]",
        ],
        0,
        ANY,
        state::resume,
    ),
    verb("load", &["<device> [<table>|<table_file>]"], 0, 2, state::load),
    verb("clear", &["<device>"], 0, ANY, state::clear),
    verb("reload", &["<device> [<table>|<table_file>]"], 0, 2, state::load),
    verb(
        "wipe_table",
        &["[-f|--force] [--noflush] [--nolockfs] <device>..."],
        0,
        ANY,
        state::wipe_table,
    ),
    verb(
        "rename",
        &["<device> [--setuuid] <new_name_or_uuid>"],
        1,
        2,
        change::rename,
    ),
    verb("measure", &["[<device>...]"], 0, ANY, table::measure),
    verb("message", &["<device> <sector> <message>"], 2, ANY, change::message),
    verb(
        "ls",
        &["[--target <target_type>] [--exec <command>] [-o <options>] [--tree]"],
        0,
        0,
        ls::ls,
    ),
    verb("info", &["[<device>...]"], 0, ANY, info::info),
    verb("deps", &["[-o <options>] [<device>...]"], 0, ANY, deps::deps),
    verb(
        "status",
        &["[<device>...] [--noflush] [--target <target_type>]"],
        0,
        ANY,
        table::status,
    ),
    verb(
        "table",
        &["[<device>...] [--concise] [--target <target_type>] [--showkeys]"],
        0,
        ANY,
        table::table,
    ),
    verb("wait", &["<device> [<event_nr>] [--noflush]"], 0, 2, state::wait),
    verb("mknodes", &["[<device>...]"], 0, ANY, nodes::mknodes),
    verb("mangle", &["[<device>...]"], 0, ANY, nodes::mangle),
    verb("udevcreatecookie", &[""], 0, 0, cookies::create),
    verb("udevreleasecookie", &["[<cookie>]"], 0, 1, cookies::release),
    verb("udevflags", &["<cookie>"], 1, 1, cookies::flags),
    verb("udevcomplete", &["<cookie>"], 1, 1, cookies::complete),
    verb("udevcomplete_all", &["[<age_in_minutes>]"], 0, 1, cookies::complete_all),
    verb("udevcookies", &[""], 0, 0, cookies::list),
    verb("target-version", &["[<target>...]"], 1, ANY, targets::target_version),
    verb("targets", &[""], 0, 0, targets::targets),
    verb("version", &[""], 0, 0, targets::version),
    verb(
        "setgeometry",
        &["<device> <cyl> <head> <sect> <start>"],
        4,
        5,
        change::setgeometry,
    ),
    verb("splitname", &["<device> [<subsystem>]"], 1, 2, splitname::splitname),
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

/// The usage text, laid out as dmsetup does it. `argv0` is the name we were started under.
pub(super) fn usage(argv0: &str) -> String {
    let program = if argv0 == super::OWN_NAME { argv0 } else { "dmsetup" };
    let mut text = format!("Usage:\n\n{program}\n{OPTIONS}\n\thelp [-c|-C|--columns]\n");
    for verb in VERBS {
        let _ = writeln!(text, "\t{} {}", verb.name, verb.synopsis.join("\n\t"));
    }
    text.push_str(NOTES);
    text
}

const OPTIONS: &str = "        [--version] [-h|--help [-c|-C|--columns]]
        [-v|--verbose [-v|--verbose ...]] [-f|--force]
        [--checks] [--manglename {none|hex|auto}]
        [-r|--readonly] [--noopencount] [--noflush] [--nolockfs] [--inactive]
        [--udevcookie <cookie>] [--noudevrules] [--noudevsync] [--verifyudev]
        [-y|--yes] [--readahead {[+]<sectors>|auto|none}] [--retry]
        [-c|-C|--columns] [-o <fields>] [-O|--sort <sort_fields>]
        [-S|--select <selection>] [--nameprefixes] [--noheadings]
        [--separator <separator>]
";

const NOTES: &str = "
<device> may be device name or (if only one) -u <uuid> or -j <major> -m <minor>
<mangling_mode> is one of 'none', 'auto' and 'hex'.
<fields> are comma-separated.  Use 'help -c' for list.
<concise_device_specification> has single-device entries separated by semi-colons:
    <name>,<uuid>,<minor>,<flags>,<table>
        where <flags> is 'ro' or 'rw' (the default) and any of <uuid>, <minor>
        and <flags> may be empty. Separate extra table lines with commas.
    E.g.: dev1,,,,0 100 linear 253:1 0,100 100 error;dev2,,,ro,0 1 error
Table_file contents may be supplied on stdin.
Options are: devno, devname, blkdevname.
Tree specific options are: ascii, utf, vt100; compact, inverted, notrunc;
                           blkdevname, [no]device, active, open, rw and uuid.

";
