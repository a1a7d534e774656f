//! `luksmith dm` in completions, and its manual page: from the table of verbs in the room that serves dmsetup.

use clap::builder::ValueHint;
use clap::{Arg, Command};

use super::roff;
use crate::dmsetup;

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

/// The verbs as a list.
pub(super) fn verbs() -> String {
    let mut list = String::new();
    for (name, synopsis, summary) in dmsetup::verbs() {
        // A verb with two forms names itself once more before the second.
        let takes: Vec<_> = synopsis
            .iter()
            .map(|line| match line.strip_prefix(name) {
                Some(form) => format!("\n.TQ\n\\fB{name}\\fR{}", roff::escaped(form)),
                None => roff::escaped(line.trim()),
            })
            .collect();
        let line = format!(".TP\n\\fB{name}\\fR {}", takes.join(" "));
        list.push_str(line.replace(" \n", "\n").trim_end());
        list.push('\n');
        list.push_str(&roff::filled(&format!("{summary}.")));
    }
    list
}
