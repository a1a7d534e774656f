//! The usage text, from the table of verbs, and the text after a failure.

use std::fmt::Write as _;

use super::error::Failure;
use super::options::OWN_NAME;
use super::verbs;
use crate::console::unreachable_text;

/// The usage text, laid out as in dmsetup. `argv0` is the name we were started under.
pub(super) fn usage(argv0: &str) -> String {
    let program = if argv0 == OWN_NAME { argv0 } else { "dmsetup" };
    // dmsetup has no such option.
    let json = if argv0 == OWN_NAME { "        [--json]\n" } else { "" };
    let mut text = format!("Usage:\n\n{program}\n{OPTIONS}{json}\n\thelp [-c|-C|--columns]\n");
    for (name, synopsis, _) in verbs::summaries() {
        let _ = writeln!(text, "\t{name} {}", synopsis.join("\n\t"));
    }
    text.push_str(NOTES);
    text
}

/// The text on standard error after a failure. `argv0` is the name we were started under.
pub(super) fn failure_text(failure: &Failure, argv0: &str) -> String {
    match failure {
        Failure::CommandLine(message) => format!("{message}\nCouldn't process command line.\n"),
        Failure::UnknownCommand => format!("Unknown command.\n{}", usage(argv0)),
        Failure::NoCommand => usage(argv0),
        Failure::Arguments => format!("Incorrect number of arguments.\n{}", usage(argv0)),
        Failure::Command(message) => format!("{message}\nCommand failed.\n"),
        Failure::Report(text) => text.clone(),
        Failure::Silent => "Command failed.\n".to_owned(),
        Failure::Unreachable(error) => format!("{argv0}: {}\n", unreachable_text(error)),
        Failure::Output(error) => format!("{argv0}: cannot write the output: {error}\n"),
    }
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
