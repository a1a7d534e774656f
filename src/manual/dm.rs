//! `luksmith dm` in completions, and its manual page: from the table of verbs in the room that serves dmsetup.

use std::io;

use clap::builder::ValueHint;
use clap::{Arg, Command};
use clap_mangen::Man;

use super::{SECTION, escaped};
use crate::cli::tree::DM_ABOUT;
use crate::dmsetup;

/// The name of the manual page.
pub(super) const PAGE: &str = "luksmith-dm";
/// The tree of actions with dmsetup's verbs in it.
pub(super) fn with_verbs(mut root: Command) -> Command {
    let verbs = dmsetup::verbs().map(|(name, _, summary)| {
        let arguments = Arg::new("arguments")
            .num_args(0..)
            .value_hint(ValueHint::AnyPath)
            .hide(true);
        Command::new(name).about(summary).disable_help_flag(true).arg(arguments)
    });
    if let Some(dm) = root.find_subcommand_mut("dm") {
        *dm = std::mem::take(dm).subcommands(verbs);
    }
    root
}

/// The manual page.
pub(super) fn page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let title = Command::new(PAGE).about(DM_ABOUT).version(env!("CARGO_PKG_VERSION"));
    let man = Man::new(title).section(SECTION);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend_from_slice(DESCRIPTION.as_bytes());
    for (name, synopsis, summary) in dmsetup::verbs() {
        // A verb with two forms names itself once more before the second.
        let takes: Vec<_> = synopsis
            .iter()
            .map(|line| match line.strip_prefix(name) {
                Some(form) => format!("\n.TQ\n\\fB{name}\\fR{form}"),
                None => line.trim().to_owned(),
            })
            .collect();
        let takes = takes.join(" ").replace('-', "\\-");
        let line = format!(".TP\n\\fB{name}\\fR {takes}\n{}.\n", escaped(summary));
        page.extend_from_slice(line.as_bytes());
    }
    page.extend_from_slice(NOTES.as_bytes());
    Ok(page)
}

const DESCRIPTION: &str = ".SH SYNOPSIS
\\fBluksmith dm\\fR <verb> [options] <arguments>
.br
\\fBdmsetup\\fR <verb> [options] <arguments>
.SH DESCRIPTION
Lists, inspects and manages devices of the device\\-mapper, whatever their targets: logical volumes, RAID, snapshots,
caches, encrypted volumes. Started under the name dmsetup, Luksmith serves that program's command line, output and exit
codes (0 and 1); dmsetup(8) explains its options, table formats and report fields.
.PP
A device is a name, a path, \\-u \\fIuuid\\fR, or \\-j \\fImajor\\fR \\-m \\fIminor\\fR. The key in the table of an encrypted
volume is shown as zeros unless \\-\\-showkeys is given.
.SH VERBS
";

const NOTES: &str = ".SH JSON
With \\-\\-json, under our own name alone, standard output is one object on one line in place of the text, whether the verb
succeeded or failed; with \\-\\-count or \\-\\-interval one line for each time. As with other actions of luksmith(8) it has
schema_version, command, and result or error (code, reason, message); a command line that means nothing is answered on
standard error alone. Names are those that the kernel holds. Numbers above 2^53 are strings. \\-\\-exec cannot be given, and what
shapes text (\\-\\-concise, \\-\\-noheadings, \\-\\-separator, \\-\\-nameprefixes and their like) changes nothing. The members of result:
.TP
ls
devices: name, path, device_number, kernel_name, uuid, type
.TP
ls \\-\\-tree
layers, as luksmith tree \\-\\-json: layer, name, type, device_number, uuid, uses (places in the array)
.TP
info, deps, and what \\-v shows of a device that a verb changed
devices: name, path, device_number, kernel_name, uuid, type, open_count, event_nr, target_count, suspended, read_only, live_table,
inactive_table, deferred_remove; for info and deps also uses: device_number, kernel_name, name
.TP
table, status, measure
devices: as before, with targets: start_sectors, length_sectors, type, and parameters, status or measurement
.TP
info \\-c, splitname, stats list, stats report
rows: the fields that were asked for under the names that \\-o has for them; sizes are in sectors of 512 bytes, and null is what has no
number
.TP
message
response, where the target gave one
.TP
mangle
devices: name, old_name, uuid
.TP
targets, target\\-version
targets: type, version
.TP
version
library_version, driver_version
.TP
udevcreatecookie, udevcomplete, udevcookies, udevflags, udevcomplete_all
cookie; cookie; cookies: cookie, semaphore, value, last_operation and last_change in seconds since 1970; flags; destroyed, skipped
.TP
stats create, group, ungroup, delete, update_filemap
regions: device or file, region_id, area_count; groups: device or file, group_id, regions or region_count, alias
.TP
stats print
regions: device, region_id, areas: area_start_sectors, area_length_sectors, the counters under the names of report fields with times in
nanoseconds, histogram
.PP
Other verbs have an empty result.
.SH ENVIRONMENT
.TP
DM_DEV_DIR
the folder in which mapper/ lies, instead of /dev
.TP
DM_DEFAULT_NAME_MANGLING_MODE
none, hex or auto, as \\-\\-manglename
.TP
DM_UDEV_COOKIE
a cookie that udevcreatecookie made, as \\-\\-udevcookie
.TP
DM_DISABLE_UDEV
set to anything: udev is not waited for, and nodes are made by hand
.SH \"DIFFERENCES FROM DMSETUP\"
What is different is so on purpose.
.IP \\(bu 2
Where no udev runs, nodes in /dev/mapper are made, moved and removed by the verb itself, under the name that the kernel
holds.
.IP \\(bu 2
No wait for udev is without an end: one event may take 10 seconds, udevreleasecookie waits for 180.
.IP \\(bu 2
Names are shown without what a terminal would act on: control characters as \\exNN. A device with a badly mangled name is
listed, and hides no other. The names control, . and .. are refused.
.IP \\(bu 2
The read ahead comes from sysfs, without a node in /dev/mapper. Where the kernel does not tell it, its line is missing and
nobody complains.
.IP \\(bu 2
\\-\\-verbose takes no value. Wrong values of \\-\\-uid, \\-\\-gid, \\-\\-readahead, \\-\\-major and \\-\\-minor are refused, not taken for 0.
.IP \\(bu 2
rename also takes \\-u, and \\-j with \\-m; setgeometry too. remove \\-\\-retry tells of the last attempt alone.
.IP \\(bu 2
A wait ends with an error when its device is removed, and does not hold up the removal.
.IP \\(bu 2
More than one \\-v adds nothing.
.IP \\(bu 2
stats create \\-\\-filemap and update_filemap honour \\-\\-precise and \\-\\-programid, leave a group alone while nothing of its file
is on the disk, and start a dmfilemapd of our own: the same program under that name. Words that the kernel is to keep have
no blanks; those in a file's name become \\exNN.
.IP \\(bu 2
Where the kernel has no device\\-mapper, or one may not use it, a single line says so and what to do.
.SH \"SEE ALSO\"
luksmith(8), dmsetup(8)
";
