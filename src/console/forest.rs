//! A forest drawn with lines. Pure: it knows places and labels, and nothing of devices.

use std::io::{self, Write};

/// The pieces that lines are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbols {
    /// Past a branch.
    pass: &'static str,
    /// A branch with others below.
    branch: &'static str,
    /// The last branch.
    last: &'static str,
    /// On one line to the only branch.
    on: &'static str,
    /// On one line to the first branch.
    fork: &'static str,
}

impl Symbols {
    /// Whether only a VT100 draws them.
    pub(crate) fn is_vt100(&self) -> bool {
        self.pass == VT100.pass
    }
}

pub(crate) const ASCII: Symbols = Symbols {
    pass: "|",
    branch: "|-",
    last: "`-",
    on: "---",
    fork: "-+-",
};
pub(crate) const UTF: Symbols = Symbols {
    pass: "│",
    branch: "├─",
    last: "└─",
    on: "───",
    fork: "─┬─",
};
pub(crate) const VT100: Symbols = Symbols {
    pass: "\x1b(0\x0fx\x1b(B",
    branch: "\x1b(0\x0ftq\x1b(B",
    last: "\x1b(0\x0fmq\x1b(B",
    on: "\x1b(0\x0fqqq\x1b(B",
    fork: "\x1b(0\x0fqwq\x1b(B",
};

/// The style of a drawing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) symbols: Symbols,
    /// The first branch is on its parent's line.
    pub(crate) compact: bool,
    /// Longer lines are cut.
    pub(crate) width: Option<usize>,
}

struct Level<'a> {
    /// Its branches that are still to come.
    rest: std::slice::Iter<'a, usize>,
    /// The columns of their symbols.
    column: usize,
}

/// Draws each root with its branches. A node without a label is skipped, its branches are not.
///
/// # Errors
/// The output's.
pub(crate) fn draw<'a>(
    out: &mut impl Write,
    style: &Style,
    roots: impl Iterator<Item = usize>,
    branches: impl Fn(usize) -> &'a [usize],
    label: impl Fn(usize) -> Vec<u8>,
) -> io::Result<()> {
    let mut line = Vec::new();
    for root in roots {
        line = label(root);
        // Without recursion: the number of devices on top of each other has no limit.
        let mut levels = vec![Level {
            rest: branches(root).iter(),
            column: if style.compact { width(&line) + 1 } else { 1 },
        }];
        let mut is_first = true;
        loop {
            if !style.compact {
                end(out, &mut line, style.width)?;
            }
            let Some(level) = levels.last_mut() else { break };
            let column = level.column;
            let Some(place) = level.rest.next().copied() else {
                levels.pop();
                is_first = false;
                continue;
            };
            let is_last = level.rest.len() == 0;
            let text = label(place);
            let goes_on = style.compact && is_first && !line.is_empty();
            if !goes_on {
                end(out, &mut line, style.width)?;
            }
            let symbol = match (goes_on, is_last) {
                (true, true) => style.symbols.on,
                (true, false) => style.symbols.fork,
                (false, true) => style.symbols.last,
                (false, false) => style.symbols.branch,
            };
            if !text.is_empty() {
                if !goes_on {
                    margin(&mut line, &levels, style.symbols.pass);
                }
                line.extend(symbol.bytes());
                line.extend(&text);
            }
            levels.push(Level {
                rest: branches(place).iter(),
                column: match (style.compact, goes_on) {
                    (false, _) => column + 3,
                    (true, false) => column + width(&text) + 3,
                    // dmsetup counts the symbol twice, and what makes a VT100 draw it too.
                    (true, true) => column + width(&text) + 3 + width(symbol.as_bytes()),
                },
            });
            is_first = true;
        }
        end(out, &mut line, style.width)?;
    }
    end(out, &mut line, style.width)
}

/// The part of a line before its own symbol.
fn margin(line: &mut Vec<u8>, levels: &[Level<'_>], pass: &str) {
    let Some((own, above)) = levels.split_last() else {
        return;
    };
    let mut at = 0;
    for level in above.iter().filter(|level| level.rest.len() > 0) {
        line.resize(line.len() + level.column - at, b' ');
        line.extend(pass.bytes());
        at = level.column + 1;
    }
    line.resize(line.len() + own.column - at, b' ');
}

/// Writes a line with its end, unless it is empty.
fn end(out: &mut impl Write, line: &mut Vec<u8>, limit: Option<usize>) -> io::Result<()> {
    if line.is_empty() {
        return Ok(());
    }
    if let Some(limit) = limit.filter(|limit| width(line) > *limit) {
        let starts = line.iter().enumerate().filter(|(_, byte)| is_start(**byte));
        let kept = starts.map(|(at, _)| at).nth(limit.saturating_sub(1));
        line.truncate(kept.unwrap_or(0));
        line.extend(b"...");
    }
    line.push(b'\n');
    out.write_all(line)?;
    line.clear();
    Ok(())
}

fn width(text: &[u8]) -> usize {
    text.iter().filter(|byte| is_start(**byte)).count()
}

/// Whether a byte is the first of its character.
fn is_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each place's branches; its label is its number, but for 9, which has none.
    fn drawn(branches: &[&[usize]], style: Style) -> String {
        let mut out = Vec::new();
        let label = |place: usize| match place {
            9 => Vec::new(),
            place => format!("n{place}").into_bytes(),
        };
        let of = |place: usize| branches.get(place).copied().unwrap_or_default();
        draw(&mut out, &style, [0].into_iter(), of, label).expect("memory takes all");
        String::from_utf8(out).expect("text")
    }

    const PLAIN: Style = Style {
        symbols: ASCII,
        compact: false,
        width: None,
    };

    #[test]
    fn lines_lead_to_each_branch() {
        let branches: &[&[usize]] = &[&[1, 4], &[2, 3], &[], &[9], &[5], &[]];
        assert_eq!(
            drawn(branches, PLAIN),
            "n0\n |-n1\n |  |-n2\n |  `-n3\n `-n4\n    `-n5\n"
        );
        let compact = Style { compact: true, ..PLAIN };
        assert_eq!(
            drawn(branches, compact),
            "n0-+-n1-+-n2\n   |       `-n3\n   `-n4---n5\n"
        );
    }

    #[test]
    fn long_lines_are_cut() {
        let style = Style {
            symbols: UTF,
            width: Some(4),
            ..PLAIN
        };
        assert_eq!(drawn(&[&[1], &[2]], style), "n0\n └─...\n   ...\n");
    }

    #[test]
    fn no_height_overflows() {
        let branches: Vec<Vec<usize>> = (1..20_000).map(|place| vec![place]).collect();
        let branches: Vec<&[usize]> = branches.iter().map(Vec::as_slice).collect();
        let style = Style {
            width: Some(80),
            ..PLAIN
        };
        assert_eq!(drawn(&branches, style).lines().count(), 20_000 - 1);
    }
}
