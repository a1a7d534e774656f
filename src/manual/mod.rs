//! Completions and manual pages of both command lines. The prose of a page is in `man/src`; its lists come from the options, the
//! table of actions, the table of which takes which, and dmsetup's verbs. A page asks for a list in a line of its own:
//!
//! | line | list |
//! |---|---|
//! | `@ACTION name@` | the synopsis of an action, its older names, and its options |
//! | `@ACTIONS page@` | each action of a page in one line |
//! | `@OPTIONS@` | the options of every action |
//! | `@VERBS@` | dmsetup's verbs |
//! | `@VERSION@`, within a line | the program's version |
//!
//! `cargo run --example man-pages man` writes the pages; a test compares the files in the repository with them.

mod dm;
mod roff;

use clap_complete::Shell;

use crate::cryptsetup::actions::{Group, VERBS, VerbInfo};
use crate::cryptsetup::tree;

/// The pages: file name, prose.
const PAGES: &[(&str, &str)] = &[
    ("luksmith.8", include_str!("../../man/src/luksmith.8")),
    ("luksmith-boot.8", include_str!("../../man/src/luksmith-boot.8")),
    ("luksmith-dm.8", include_str!("../../man/src/luksmith-dm.8")),
    ("luksmith-format.8", include_str!("../../man/src/luksmith-format.8")),
    ("luksmith-header.8", include_str!("../../man/src/luksmith-header.8")),
    ("luksmith-keys.8", include_str!("../../man/src/luksmith-keys.8")),
    ("luksmith-other.8", include_str!("../../man/src/luksmith-other.8")),
    ("luksmith-tokens.8", include_str!("../../man/src/luksmith-tokens.8")),
    ("luksmith-volumes.8", include_str!("../../man/src/luksmith-volumes.8")),
];

/// The pages whose actions an overview lists.
const GROUPS: &[(&str, Group)] = &[
    ("volumes", Group::Volumes),
    ("format", Group::Format),
    ("keys", Group::Keys),
    ("header", Group::Header),
    ("tokens", Group::Tokens),
    ("boot", Group::Boot),
    ("other", Group::Other),
];

/// The completion script for a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut dm::with_verbs(tree::tree()), "luksmith", &mut script);
    script
}

/// The manual pages, each with its file name.
///
/// # Errors
/// The line of a page that requests an unknown list, or the name of an action that no page has.
pub fn man_pages() -> Result<Vec<(&'static str, String)>, String> {
    let mut missing: Vec<&str> = shown().map(|info| info.name).collect();
    let mut pages = Vec::new();
    for (name, prose) in PAGES {
        let mut page = String::from(".\\\" Generated from man/src: cargo run --example man-pages man\n");
        for line in prose.lines() {
            match line.strip_prefix('@').and_then(|line| line.strip_suffix('@')) {
                Some(list) => {
                    let list = list_of(list, &mut missing).ok_or_else(|| format!("{name}: {line}"))?;
                    // A heading is followed by a paragraph anyway.
                    let after_heading = page.lines().last().is_some_and(|line| line.starts_with(".SH"));
                    page.push_str(list.strip_prefix(".PP\n").filter(|_| after_heading).unwrap_or(&list));
                }
                None => {
                    page.push_str(&line.replace("@VERSION@", env!("CARGO_PKG_VERSION")));
                    page.push('\n');
                }
            }
        }
        pages.push((*name, page));
    }
    match missing.first() {
        Some(action) => Err(format!("no page has the action {action}")),
        None => Ok(pages),
    }
}

fn list_of(list: &str, missing: &mut Vec<&str>) -> Option<String> {
    match list.split_once(' ') {
        None if list == "OPTIONS" => Some(tree::common().map(|flag| roff::option(flag, None)).collect()),
        None if list == "VERBS" => Some(dm::verbs()),
        Some(("ACTION", name)) => {
            missing.retain(|action| *action != name);
            action(name)
        }
        Some(("ACTIONS", page)) => GROUPS
            .iter()
            .find(|(name, _)| *name == page)
            .map(|(_, group)| actions(*group)),
        _ => None,
    }
}

/// The actions that are carried out.
fn shown() -> impl Iterator<Item = &'static VerbInfo> {
    VERBS.iter().filter(|info| info.is_shown())
}

fn action(name: &str) -> Option<String> {
    let info = shown().find(|info| info.name == name)?;
    let older: Vec<_> = info.older_names().map(|name| format!("\\fB{name}\\fR")).collect();
    let arguments = roff::escaped(info.arguments);
    let mut text = format!(".PP\n\\fBluksmith {name}\\fR [options] {arguments}")
        .trim_end()
        .to_owned()
        + "\n";
    if !older.is_empty() {
        text.push_str(&format!(
            ".PP\n{}",
            roff::filled_raw(&format!("Older names: {}.", older.join(", ")))
        ));
    }
    text.extend(tree::own(info.verb).map(|flag| roff::option(flag, Some(info.verb))));
    Some(text)
}

fn actions(group: Group) -> String {
    let of_group = shown().filter(|info| info.group == group);
    let line = |info: &VerbInfo| {
        let takes = format!("\\fB{}\\fR {}", info.name, roff::escaped(info.arguments));
        format!(
            ".TP\n{}\n{}",
            takes.trim_end(),
            roff::filled(&format!("{}.", info.summary))
        )
    };
    of_group.map(line).collect()
}
