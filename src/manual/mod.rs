//! Completions and manual pages of both command lines, from the options, the table of actions, the table of which takes which,
//! and dmsetup's verbs.

mod dm;

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::actions::{ALIASES, Group, VERBS};
use crate::cli::args::OURS;
use crate::cli::tree::{self, DM_ABOUT};

/// The section of the manual.
const SECTION: &str = "8";

/// The manual pages: which actions, name after the dash, one line.
const PAGES: &[(Group, &str, &str)] = &[
    (Group::Volumes, "luksmith-volumes", "unlock, map and unmap volumes"),
    (Group::Format, "luksmith-format", "make and reencrypt LUKS volumes"),
    (Group::Keys, "luksmith-keys", "add, change and remove passphrases"),
    (
        Group::Header,
        "luksmith-header",
        "look at, back up and change LUKS headers",
    ),
    (Group::Tokens, "luksmith-tokens", "LUKS2 tokens"),
    (Group::Boot, "luksmith-boot", "unlock a machine while it boots"),
    (
        Group::Other,
        "luksmith-other",
        "benchmark, and the headers of other systems",
    ),
];

/// The completion script for a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut dm::with_verbs(tree::tree()), "luksmith", &mut script);
    script
}

/// Writes the manual pages into a folder that exists.
///
/// # Errors
/// The system's.
pub fn write_man_pages(folder: &Path) -> io::Result<()> {
    for (name, page) in man_pages()? {
        fs::write(folder.join(name), page)?;
    }
    Ok(())
}

/// The manual pages, each with its file name.
///
/// # Errors
/// None that memory does not cause.
pub fn man_pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = vec![(format!("luksmith.{SECTION}"), overview()?)];
    for (group, name, about) in PAGES {
        pages.push((format!("{name}.{SECTION}"), group_page(*group, name, about)?));
    }
    pages.push((format!("{}.{SECTION}", dm::PAGE), dm::page()?));
    Ok(pages)
}

fn overview() -> io::Result<Vec<u8>> {
    let root = tree::tree();
    let mut page = Vec::new();
    let man = Man::new(root.clone()).section(SECTION);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend_from_slice(b".SH SYNOPSIS\n\\fBluksmith\\fR <action> [options] <arguments>\n");
    page.extend_from_slice(OVERVIEW.as_bytes());
    for (group, name, about) in PAGES {
        page.extend_from_slice(format!(".SS \"{}({SECTION}): {about}\"\n", escaped(name)).as_bytes());
        for info in VERBS.iter().filter(|info| info.group == *group) {
            let line = format!(
                ".TP\n\\fB{}\\fR {}\n{}\n",
                info.name,
                escaped(info.arguments),
                escaped(info.summary)
            );
            page.extend_from_slice(line.as_bytes());
        }
    }
    let (name, about) = (dm::PAGE, DM_ABOUT);
    page.extend_from_slice(format!(".SS \"{}({SECTION}): {about}\"\n", escaped(name)).as_bytes());
    page.extend_from_slice(
        b".TP\n\\fBdm\\fR <verb> [options] <arguments>\ncreate, list, inspect and remove devices with any target\n",
    );
    man.render_options_section(&mut page)?;
    page.extend_from_slice(EXIT_STATUS.as_bytes());
    Ok(page)
}

fn group_page(group: Group, name: &'static str, about: &'static str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let title = Command::new(name).about(about).version(env!("CARGO_PKG_VERSION"));
    let man = Man::new(title).section(SECTION);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    for info in VERBS.iter().filter(|info| info.group == group) {
        let older: Vec<_> = ALIASES
            .iter()
            .filter(|alias| alias.verb == info.verb)
            .map(|alias| alias.name)
            .collect();
        let mut section = format!(
            ".SH \"{}\"\n\\fBluksmith {}\\fR [options] {}\n.PP\n{}.\n",
            info.name.to_uppercase(),
            info.name,
            escaped(info.arguments),
            escaped(&capitalized(info.summary))
        );
        if !older.is_empty() {
            section.push_str(&format!(".PP\nOlder names: {}.\n", older.join(", ")));
        }
        page.extend_from_slice(section.as_bytes());
        let mut options = Vec::new();
        Man::new(tree::action(info, Vec::new())).render_options_section(&mut options)?;
        // The renderer makes a section of them; here each action is one.
        let options = String::from_utf8_lossy(&options)
            .replace(".SH OPTIONS\n", "")
            .replace(".SH ", ".SS ");
        let options = options.replace(&format!(".SS \"{}\"\n", OURS.to_uppercase()), "");
        page.extend_from_slice(options.as_bytes());
    }
    page.extend_from_slice(
        format!(".SH \"SEE ALSO\"\nluksmith({SECTION}), for the options of every action\n").as_bytes(),
    );
    Ok(page)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('-', "\\-")
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

const OVERVIEW: &str = ".SH DESCRIPTION
Luksmith makes, unlocks, maps and inspects encrypted volumes: LUKS1, LUKS2 and plain dm\\-crypt. Started under the name
cryptsetup or dmsetup it serves that program's command line unchanged.
.PP
Options may stand before and after the action; \\-\\- ends them. A device is a path, or a tag as in fstab(5), such as
UUID=\\fIuuid\\fR. A file is as good as a device.
.PP
A passphrase is read from the terminal, from standard input up to the first new line, or from a key file byte for byte.
An empty passphrase is a passphrase.
.SH ACTIONS
";

const EXIT_STATUS: &str = ".SH \"EXIT STATUS\"
0 done; 1 wrong parameters, or any other failure; 2 wrong passphrase, or not permitted; 3 out of memory; 4 wrong device;
5 already exists, or in use.
.SH \"SEE ALSO\"
luksmith\\-volumes(8), luksmith\\-format(8), luksmith\\-keys(8), luksmith\\-header(8), luksmith\\-tokens(8),
luksmith\\-boot(8), luksmith\\-other(8), luksmith\\-dm(8)
";
