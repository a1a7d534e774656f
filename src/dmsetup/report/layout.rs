//! The layout of a report: columns of equal width, or fields with separators.

use serde_json::{Number, Value};

use super::cell::{Cell, Order};
use super::fields::{Holds, Id};
use crate::dmsetup::json::number;

/// The options of the layout.
#[derive(Clone, Copy, Debug)]
pub(in crate::dmsetup) struct Style<'a> {
    /// A line of headings.
    pub(in crate::dmsetup) headings: bool,
    /// Each field as `DM_NAME='value'`.
    pub(in crate::dmsetup) prefixes: bool,
    /// Quotes around the value in that form.
    pub(in crate::dmsetup) quoted: bool,
    /// A line for each field, not for each row.
    pub(in crate::dmsetup) fields_as_lines: bool,
    /// The separator between fields, if one was chosen.
    pub(in crate::dmsetup) separator: Option<&'a [u8]>,
}

impl Default for Style<'_> {
    fn default() -> Self {
        Self {
            headings: true,
            prefixes: false,
            quoted: true,
            fields_as_lines: false,
            separator: None,
        }
    }
}

impl Style<'_> {
    /// Columns are of equal width unless an option for programs was chosen.
    fn is_aligned(&self) -> bool {
        self.headings && !self.prefixes && !self.fields_as_lines && self.separator.is_none()
    }

    fn between(&self) -> &[u8] {
        match self.separator {
            Some(separator) => separator,
            None if self.headings => b" ",
            None => b":",
        }
    }

    fn show(&self, id: Id, cell: &Cell) -> Vec<u8> {
        if !self.prefixes {
            return cell.text.clone();
        }
        let quote = if self.quoted { "'" } else { "" };
        let mut text = format!("DM_{}={quote}", id.name().to_ascii_uppercase()).into_bytes();
        text.extend(&cell.text);
        text.extend(quote.bytes());
        text
    }
}

/// A field as JSON: numbers where it holds any, in sectors where those are sizes, and text.
pub(super) fn json(id: Id, cell: &Cell) -> Value {
    let text = String::from_utf8_lossy(&cell.text);
    match (id.field().holds, cell.order) {
        (Holds::Text, _) => text.into(),
        (Holds::Size, Order::Number(sectors)) => number(sectors),
        _ => match (text.parse::<u64>(), text.parse::<f64>()) {
            (Ok(whole), _) => number(whole),
            (_, Ok(real)) => Number::from_f64(real).map_or(Value::Null, Value::Number),
            // A group that does not exist; and a group's regions, if there are several.
            _ if text == "-" || text.is_empty() => Value::Null,
            _ => text.into(),
        },
    }
}

/// All lines, each with its end.
pub(super) fn text(columns: &[Id], rows: &[Vec<Cell>], style: &Style<'_>) -> Vec<u8> {
    if style.is_aligned() {
        return aligned(columns, rows);
    }
    let mut out = Vec::new();
    let between = style.between();
    let heading = |id: &Id| id.field().heading.as_bytes().to_vec();
    if style.fields_as_lines {
        for (n, id) in columns.iter().enumerate() {
            let values = rows.iter().map(|row| style.show(*id, &row[n]));
            let heading = style.headings.then(|| heading(id));
            line(&mut out, heading.into_iter().chain(values), between);
        }
        return out;
    }
    if style.headings {
        line(&mut out, columns.iter().map(heading), between);
    }
    for row in rows {
        let shown = columns.iter().zip(row).map(|(id, cell)| style.show(*id, cell));
        line(&mut out, shown, between);
    }
    out
}

fn line(out: &mut Vec<u8>, parts: impl Iterator<Item = Vec<u8>>, between: &[u8]) {
    for (n, part) in parts.enumerate() {
        if n > 0 {
            out.extend(between);
        }
        out.extend(part);
    }
    out.push(b'\n');
}

fn aligned(columns: &[Id], rows: &[Vec<Cell>]) -> Vec<u8> {
    let mut widths: Vec<usize> = columns.iter().map(|id| id.field().width).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            // Bytes, as in dmsetup, whatever their display width.
            *width = cell.text.len().max(*width);
        }
    }
    let total: usize = widths.iter().map(|width| width + 1).sum();
    let mut out = Vec::with_capacity(total.saturating_mul(rows.len() + 1));
    for (n, (id, width)) in columns.iter().zip(&widths).enumerate() {
        padded(&mut out, n, id.field().heading.as_bytes(), *width, Holds::Text);
    }
    out.push(b'\n');
    for row in rows {
        for (n, ((id, cell), width)) in columns.iter().zip(row).zip(&widths).enumerate() {
            padded(&mut out, n, &cell.text, *width, id.field().holds);
        }
        out.push(b'\n');
    }
    out
}

fn padded(out: &mut Vec<u8>, before: usize, text: &[u8], width: usize, holds: Holds) {
    if before > 0 {
        out.push(b' ');
    }
    let padding = std::iter::repeat_n(b' ', width - text.len());
    match holds {
        Holds::Text => {
            out.extend(text);
            out.extend(padding);
        }
        Holds::Number | Holds::Size => {
            out.extend(padding);
            out.extend(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Id; 3] = [Id::Name, Id::Minor, Id::VgName];

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![Cell::text("lin"), Cell::number(7_u64), Cell::text("")],
            vec![Cell::text("ünï"), Cell::number(1000_u64), Cell::text("vg")],
        ]
    }

    fn shown(style: Style<'_>) -> String {
        String::from_utf8(text(&COLUMNS, &rows(), &style)).expect("text")
    }

    #[test]
    fn columns_are_as_wide_as_their_widest() {
        assert_eq!(
            shown(Style::default()),
            "Name             Min  VG  \nlin                 7     \nünï            1000 vg  \n"
        );
    }

    #[test]
    fn whatever_is_chosen_ends_the_columns() {
        let plain = Style {
            headings: false,
            ..Style::default()
        };
        assert_eq!(shown(plain), "lin:7:\nünï:1000:vg\n");
        let separator = Style {
            separator: Some(b"::"),
            ..Style::default()
        };
        assert_eq!(shown(separator), "Name::Min::VG\nlin::7::\nünï::1000::vg\n");
        let rows = Style {
            fields_as_lines: true,
            ..Style::default()
        };
        assert_eq!(shown(rows), "Name lin ünï\nMin 7 1000\nVG  vg\n");
    }

    #[test]
    fn udev_reads_fields_with_their_names() {
        let prefixes = Style {
            headings: false,
            prefixes: true,
            fields_as_lines: true,
            separator: Some(b" "),
            ..Style::default()
        };
        assert_eq!(
            shown(prefixes),
            "DM_NAME='lin' DM_NAME='ünï'\nDM_MINOR='7' DM_MINOR='1000'\nDM_VG_NAME='' DM_VG_NAME='vg'\n"
        );
        let unquoted = Style {
            prefixes: true,
            quoted: false,
            ..Style::default()
        };
        assert_eq!(
            shown(unquoted),
            "Name Min VG\nDM_NAME=lin DM_MINOR=7 DM_VG_NAME=\nDM_NAME=ünï DM_MINOR=1000 DM_VG_NAME=vg\n"
        );
    }
}
