//! Help by action, completions and manual pages under our own name, all from the options, the table of actions and the
//! table of which takes which.

use std::fs;
use std::io;
use std::path::Path;

use clap::builder::ValueHint;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::actions::{ALIASES, Group, VERBS, Verb, VerbInfo};
use super::args::{OURS, Options};
use super::{generate_dm, takes};

/// Heading of the options that every action takes.
const COMMON: &str = "Common options";

/// The section of the manual.
pub(super) const SECTION: &str = "8";

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

/// The program as a tree of actions, each with the options that it takes.
pub fn tree() -> Command {
    let common = || {
        let takes_all = |arg: &&Arg| arg.get_long().is_some_and(|long| takes::of(long).actions.is_none());
        Options::command()
            .get_arguments()
            .filter(takes_all)
            .cloned()
            .map(|arg| arg.help_heading(COMMON))
            .collect::<Vec<_>>()
    };
    let mut root = Command::new("luksmith")
        .about("LUKS volumes: format, unlock, map, inspect")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .override_usage("luksmith <action> [options] <arguments>")
        .subcommand_help_heading("Actions")
        .subcommand_value_name("action")
        .max_term_width(100)
        .args(common());
    for info in VERBS {
        root = root.subcommand(action(info, common()));
    }
    root = root.subcommand(generate_dm::action());
    let shell = Arg::new("shell")
        .required(true)
        .value_parser(clap::value_parser!(Shell));
    root.subcommand(
        Command::new("completions")
            .about("print a completion script for a shell")
            .arg(shell)
            .disable_help_flag(true),
    )
}

fn action(info: &'static VerbInfo, common: Vec<Arg>) -> Command {
    let own = |arg: &&Arg| {
        arg.get_long().is_some_and(|long| {
            let row = takes::of(long);
            row.actions.is_some() && row.with(info.verb)
        })
    };
    let aliases: Vec<_> = ALIASES
        .iter()
        .filter(|alias| alias.verb == info.verb)
        .map(|alias| alias.name)
        .collect();
    // A person reads "name a file or device"; completion offers paths for either.
    let arguments = Arg::new("arguments")
        .num_args(0..)
        .value_hint(ValueHint::AnyPath)
        .hide(true);
    Command::new(info.name)
        .about(info.summary)
        .version(env!("CARGO_PKG_VERSION"))
        .visible_aliases(aliases)
        .disable_help_flag(true)
        .override_usage(format!("luksmith {} [options] {}", info.name, info.arguments))
        .max_term_width(100)
        .args(Options::command().get_arguments().filter(own).cloned())
        .args(common)
        .arg(arguments)
}

/// What `luksmith --help` prints, or `luksmith <action> --help`.
pub fn help(verb: Option<Verb>) -> String {
    let mut root = tree();
    root.build();
    match verb.and_then(|verb| root.find_subcommand_mut(verb.name())) {
        Some(action) => action.render_help().to_string(),
        None => root.render_help().to_string(),
    }
}

/// The completion script for a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree(), "luksmith", &mut script);
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
    pages.push((format!("{}.{SECTION}", generate_dm::PAGE), generate_dm::page()?));
    Ok(pages)
}

fn overview() -> io::Result<Vec<u8>> {
    let root = tree();
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
    let (name, about) = (generate_dm::PAGE, generate_dm::ABOUT);
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
        Man::new(action(info, Vec::new())).render_options_section(&mut options)?;
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

pub(super) fn escaped(text: &str) -> String {
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
