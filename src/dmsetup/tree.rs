//! `ls --tree`: the tree of devices.

use std::fmt::Write as _;

use super::error::Failure;
use super::options::Opt;
use super::session::Session;
use crate::console::forest::{self, ASCII, Style, Symbols, UTF, VT100};
use crate::console::{speaks_utf8, terminal_width};
use crate::dm::Printable;
use crate::mapping::{Mappings, Node, Stack, Tree, describe};

/// The values of `-o` for the tree.
#[derive(Debug)]
pub(super) struct Form {
    number: bool,
    kernel_name: bool,
    active: bool,
    writable: bool,
    open: bool,
    uuid: bool,
    compact: bool,
    inverted: bool,
    whole: bool,
    symbols: Option<Symbols>,
}

/// The values of `-o`. An abbreviation means the first that begins with it.
const WORDS: [&str; 13] = [
    "device",
    "nodevice",
    "blkdevname",
    "active",
    "open",
    "rw",
    "uuid",
    "ascii",
    "utf",
    "vt100",
    "compact",
    "inverted",
    "notrunc",
];

impl Form {
    pub(super) fn of(session: &Session) -> Result<Self, Failure> {
        let mut form = Self {
            number: true,
            kernel_name: false,
            active: false,
            writable: false,
            open: false,
            uuid: false,
            compact: false,
            inverted: false,
            whole: false,
            symbols: None,
        };
        let text = session.options.text(Opt::Options).unwrap_or_default();
        let mut rest = text.as_str();
        loop {
            let (word, next) = rest.split_once(',').unwrap_or((rest, ""));
            match WORDS.into_iter().find(|known| known.starts_with(word)) {
                _ if word.is_empty() => {}
                Some("device") => form.number = true,
                Some("nodevice") => form.number = false,
                Some("blkdevname") => form.kernel_name = true,
                Some("active") => form.active = true,
                Some("open") => form.open = true,
                Some("rw") => form.writable = true,
                Some("uuid") => form.uuid = true,
                Some("ascii") => form.symbols = Some(ASCII),
                Some("utf") => form.symbols = Some(UTF),
                Some("vt100") => form.symbols = Some(VT100),
                Some("compact") => form.compact = true,
                Some("inverted") => form.inverted = true,
                Some("notrunc") => form.whole = true,
                _ => {
                    return Err(Failure::CommandLine(format!("Tree options not recognised: {rest}.")));
                }
            }
            if next.is_empty() {
                return Ok(form);
            }
            rest = next;
        }
    }

    fn style(&self) -> Style {
        let symbols = self.symbols.unwrap_or(if speaks_utf8() { UTF } else { ASCII });
        // dmsetup leaves three columns of a terminal free, and looks for none where it draws for a VT100.
        let terminal = match symbols.is_vt100() {
            false => terminal_width().map(|width| width - 3),
            true => None,
        };
        Style {
            symbols,
            compact: self.compact && !(self.active || self.writable || self.open || self.uuid),
            width: (!self.whole).then_some(terminal.unwrap_or(80)),
        }
    }

    fn label(&self, session: &Session, node: &Node) -> Vec<u8> {
        let mut text = match &node.mapping {
            Some(mapping) => session.shown(&mapping.name),
            None => Vec::new(),
        };
        let mut more = String::new();
        let kernel_name = if self.kernel_name {
            node.number.kernel_name()
        } else {
            None
        };
        if let Some(name) = kernel_name {
            let _ = write!(more, " <{}>", Printable(name.as_bytes()));
        }
        if self.number {
            let _ = write!(more, " ({})", node.number);
        }
        text.extend(more.into_bytes());
        let Some(info) = &node.info else { return text };
        let details = [
            self.active
                .then(|| if info.suspended { "SUSPENDED" } else { "ACTIVE" }.into()),
            self.writable.then(|| if info.read_only { "RO" } else { "RW" }.into()),
            self.open.then(|| info.open_count.to_string().into_bytes()),
            self.uuid.then(|| {
                info.uuid
                    .as_ref()
                    .map(|uuid| session.shown_uuid(uuid))
                    .unwrap_or_default()
            }),
        ];
        let details: Vec<Vec<u8>> = details.into_iter().flatten().collect();
        if !details.is_empty() {
            text.extend(b" [");
            text.extend(details.join(&b", "[..]));
            text.push(b']');
        }
        text
    }
}

pub(super) fn show(session: &Session, all: &Mappings, form: &Form) -> Result<(), Failure> {
    if session.json() {
        // With the devices above and below, whose numbers are indices.
        let stack = Stack::of(session.dm()?, all).map_err(Failure::refused_for_all)?;
        session.tell("layers", || describe::layers(&stack));
        return Ok(());
    }
    let tree = Tree::of(session.dm()?, all).map_err(Failure::refused_for_all)?;
    let from = |node: &&Node| {
        if form.inverted {
            node.uses.is_empty()
        } else {
            node.used_by.is_empty()
        }
    };
    let roots = tree.nodes().iter().enumerate().filter(|(_, node)| from(node));
    forest::draw(
        &mut *session.out(),
        &form.style(),
        roots.map(|(place, _)| place),
        |place| {
            let node = &tree.nodes()[place];
            if form.inverted { &node.used_by } else { &node.uses }
        },
        |place| form.label(session, &tree.nodes()[place]),
    )?;
    Ok(())
}
