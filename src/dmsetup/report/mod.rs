//! Reports: rows of fields, chosen with `-o`, sorted with `-O`, selected with `-S`, and laid out as dmsetup does it.
//!
//! Pure: it makes no queries. The caller passes in rows as [`Row`]s; [`Report::uses`] tells beforehand which queries
//! they need, so that none is made in vain.

mod cell;
mod columns;
mod fields;
mod help;
mod layout;
mod regex;
mod selection;

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

pub(in crate::dmsetup) use cell::{Cell, Kind};
pub(in crate::dmsetup) use columns::ColumnError;
pub(in crate::dmsetup) use fields::{Id, Needs};
pub(in crate::dmsetup) use layout::Style;
pub(in crate::dmsetup) use selection::SelectionError;

use columns::Key;
use selection::Selection;

/// The request for a report, as it was typed.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::dmsetup) struct Request<'a> {
    /// `-o`: fields, behind a `+` in addition to the usual ones.
    pub(in crate::dmsetup) columns: Option<&'a str>,
    /// `-O`: fields, with `-` for falling order.
    pub(in crate::dmsetup) sort: Option<&'a str>,
    /// `-S`.
    pub(in crate::dmsetup) select: Option<&'a [u8]>,
}

/// A source of the fields of one line. `E` is the reason why a field is unavailable.
pub(in crate::dmsetup) trait Row<E> {
    /// One field. [`Id::Selected`] is never requested.
    fn cell(&self, id: Id) -> Result<Cell, E>;
}

/// A request for a report that is invalid, or that only asks for help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dmsetup) enum ReportError {
    /// `-o` or `-O`.
    Columns(ColumnError),
    /// `-S`.
    Selection(SelectionError),
}

/// A report: what it shows, and the rows so far.
#[derive(Debug)]
pub(in crate::dmsetup) struct Report {
    columns: Vec<Id>,
    keys: Vec<Key>,
    selection: Option<Selection>,
    rows: Vec<Stored>,
}

#[derive(Debug)]
struct Stored {
    cells: Vec<Cell>,
    keys: Vec<Cell>,
}

impl Report {
    /// Parses the request for a report.
    ///
    /// # Errors
    /// [`ReportError`]: unknown fields, an invalid selection, or a request for help.
    pub(in crate::dmsetup) fn new(kind: &Kind<'_>, request: &Request<'_>) -> Result<Self, ReportError> {
        let columns = columns::columns(request.columns, kind).map_err(ReportError::Columns)?;
        let keys = columns::keys(request.sort.unwrap_or(kind.sort)).map_err(ReportError::Columns)?;
        let selection = match request.select {
            None | Some(b"") => None,
            Some(text) => Some(Selection::parse(text).map_err(ReportError::Selection)?),
        };
        Ok(Self {
            columns,
            keys,
            selection,
            rows: Vec::new(),
        })
    }

    /// Whether any field is used that needs the query `needs`.
    pub(in crate::dmsetup) fn uses(&self, needs: Needs) -> bool {
        let selected = self.selection.iter().flat_map(Selection::fields);
        let keys = self.keys.iter().map(|key| key.id);
        self.columns
            .iter()
            .copied()
            .chain(keys)
            .chain(selected)
            .any(|id| id.needs() == needs)
    }

    /// Whether the selection takes a row.
    ///
    /// # Errors
    /// The row's own, if a field is unavailable; the field is named beside it.
    pub(in crate::dmsetup) fn selects<E>(&self, row: &impl Row<E>) -> Result<bool, (Id, E)> {
        match &self.selection {
            None => Ok(true),
            Some(selection) => selection.takes(&mut |id| match id {
                Id::Selected => Ok(Cell::number(1_u64)),
                id => row.cell(id).map_err(|error| (id, error)),
            }),
        }
    }

    /// Adds a row, unless the selection leaves it out.
    ///
    /// # Errors
    /// The row's own, if a field is unavailable; the field is named beside it.
    pub(in crate::dmsetup) fn add<E>(&mut self, row: &impl Row<E>) -> Result<(), (Id, E)> {
        let cell = |id: Id| match id {
            Id::Selected => Ok(Cell::number(1_u64)),
            id => row.cell(id).map_err(|error| (id, error)),
        };
        let mut cells = self.columns.iter().map(|id| cell(*id)).collect::<Result<Vec<_>, _>>()?;
        // Displayed fields are not queried a second time.
        let known = |id: Id| match self.columns.iter().position(|column| *column == id) {
            Some(place) => Ok(cells[place].clone()),
            None => cell(id),
        };
        let mut keys = self
            .keys
            .iter()
            .map(|key| known(key.id))
            .collect::<Result<Vec<_>, _>>()?;
        let selected = match &self.selection {
            None => true,
            Some(selection) => selection.takes(&mut |id| known(id))?,
        };
        // A report with the field `selected` shows all rows.
        if !selected && !self.columns.contains(&Id::Selected) {
            return Ok(());
        }
        if !selected {
            let ids = self.columns.iter().chain(self.keys.iter().map(|key| &key.id));
            for (id, cell) in ids.zip(cells.iter_mut().chain(&mut keys)) {
                if *id == Id::Selected {
                    *cell = Cell::number(0_u64);
                }
            }
        }
        self.rows.push(Stored { cells, keys });
        Ok(())
    }

    /// Lays the rows out, and forgets them. A report without rows is empty: it has no headings either.
    pub(in crate::dmsetup) fn take_text(&mut self, style: &Style<'_>) -> Vec<u8> {
        match self.take_rows() {
            rows if rows.is_empty() => Vec::new(),
            rows => layout::text(&self.columns, &rows, style),
        }
    }

    /// The rows as JSON, each an object of its fields, and forgets them. Sizes are in sectors of 512 bytes.
    pub(in crate::dmsetup) fn take_json(&mut self) -> Vec<Value> {
        let rows = self.take_rows();
        let object = |row: &Vec<Cell>| {
            let fields = self.columns.iter().zip(row);
            fields
                .map(|(id, cell)| (id.name().to_owned(), layout::json(*id, cell)))
                .collect()
        };
        rows.iter().map(object).map(Value::Object).collect()
    }

    fn take_rows(&mut self) -> Vec<Vec<Cell>> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by(|a, b| {
            let each = self.keys.iter().zip(a.keys.iter().zip(&b.keys));
            each.map(|(key, (a, b))| key.direct(a.compare(b)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        rows.into_iter().map(|row| row.cells).collect()
    }
}

impl ReportError {
    /// Whether it is not an error: it was a request for help.
    pub(in crate::dmsetup) fn is_help(&self) -> bool {
        matches!(
            self,
            Self::Columns(ColumnError::Help) | Self::Selection(SelectionError::Help)
        )
    }
}

impl fmt::Display for ReportError {
    /// All lines that dmsetup shows, each with its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns(error) => error.fmt(f),
            Self::Selection(error) => error.fmt(f),
        }
    }
}

/// The list of all fields, as in `help -c`.
pub(in crate::dmsetup) fn field_list() -> String {
    help::Fields { kinds: false }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name and a number of opens, and an unavailable field.
    struct Device(&'static str, u64);

    impl Row<()> for Device {
        fn cell(&self, id: Id) -> Result<Cell, ()> {
            match id {
                Id::Name => Ok(Cell::text(self.0)),
                Id::Open => Ok(Cell::number(self.1)),
                Id::RegionLen => Ok(Cell::shown("x", self.1 * 2048)),
                _ => Err(()),
            }
        }
    }

    const KIND: Kind<'_> = Kind {
        columns: "name,open",
        sort: "",
        all: |needs| needs == Needs::Name,
    };

    fn report(columns: Option<&str>, sort: Option<&str>, select: Option<&str>) -> Result<String, ReportError> {
        let request = Request {
            columns,
            sort,
            select: select.map(str::as_bytes),
        };
        let mut report = Report::new(&KIND, &request)?;
        for device in [Device("b", 1), Device("a", 10), Device("c", 1)] {
            report.add(&device).expect("all fields can be told");
        }
        let style = Style {
            separator: Some(b"|"),
            headings: false,
            ..Style::default()
        };
        Ok(String::from_utf8(report.take_text(&style)).expect("text"))
    }

    #[test]
    fn rows_stay_in_order_until_they_are_sorted() {
        assert_eq!(report(None, None, None).as_deref(), Ok("b|1\na|10\nc|1\n"));
        assert_eq!(report(None, Some("name"), None).as_deref(), Ok("a|10\nb|1\nc|1\n"));
        assert_eq!(
            report(None, Some("-open,-name"), None).as_deref(),
            Ok("a|10\nc|1\nb|1\n")
        );
        assert_eq!(
            report(Some("name"), Some("+open,-name"), None).as_deref(),
            Ok("c\nb\na\n")
        );
    }

    #[test]
    fn rows_are_selected_by_fields_that_are_not_shown() {
        assert_eq!(report(Some("name"), None, Some("open>1")).as_deref(), Ok("a\n"));
        assert_eq!(report(Some("name"), None, Some("open>10")).as_deref(), Ok(""));
        assert_eq!(
            report(Some("+selected"), None, Some("name=~[ac]")).as_deref(),
            Ok("b|1|0\na|10|0\nc|1|0\n")
        );
        assert_eq!(
            report(Some("name,selected"), Some("selected"), Some("name=\"a\"")).as_deref(),
            Ok("b|0\nc|0\na|1\n")
        );
        assert_eq!(
            report(Some("name"), None, Some("region_len>=10m")).as_deref(),
            Ok("a\n")
        );
    }

    #[test]
    fn a_report_says_what_it_will_ask_for() {
        let request = Request {
            columns: Some("name"),
            sort: Some("device_count"),
            select: Some(b"names_using_dev=x"),
        };
        let report = Report::new(&KIND, &request).expect("a good report");
        for (needs, used) in [
            (Needs::Name, true),
            (Needs::Deps, true),
            (Needs::Tree, true),
            (Needs::Info, false),
            (Needs::Stats, false),
        ] {
            assert_eq!(report.uses(needs), used, "{needs:?}");
        }
    }

    #[test]
    fn a_field_that_cannot_be_told_is_named() {
        let mut report = Report::new(
            &KIND,
            &Request {
                columns: Some("uuid"),
                ..Request::default()
            },
        )
        .expect("a good report");
        assert_eq!(report.add(&Device("a", 0)), Err((Id::Uuid, ())));
    }
}
