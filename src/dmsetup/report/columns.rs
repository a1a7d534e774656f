//! `-o` and `-O`: lists of fields.

use std::cmp::Ordering;
use std::fmt;

use super::cell::Kind;
use super::fields::{Id, Word};
use super::help;

/// One sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) id: Id,
    falling: bool,
}

impl Key {
    /// Reverses an order for a falling key.
    pub(super) fn direct(self, order: Ordering) -> Ordering {
        if self.falling { order.reverse() } else { order }
    }
}

/// A list with an unknown field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dmsetup) enum ColumnError {
    /// It asks for the list of fields.
    Help,
    /// No such field to show.
    Column(String),
    /// No such field to sort by.
    Key(String),
}

impl fmt::Display for ColumnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", help::Fields { kinds: false })?;
        match self {
            Self::Help => Ok(()),
            Self::Column(name) => writeln!(f, "Unrecognised field: {name}"),
            Self::Key(name) => writeln!(f, "dm_report: Unrecognised field: {name}"),
        }
    }
}

/// The columns of the list `typed`.
pub(super) fn columns(typed: Option<&str>, kind: &Kind<'_>) -> Result<Vec<Id>, ColumnError> {
    let list = match typed {
        None => kind.columns.to_owned(),
        Some(typed) => match typed.strip_prefix('+') {
            Some(more) => format!("{},{more}", kind.columns),
            None => typed.to_owned(),
        },
    };
    let mut columns = Vec::new();
    for name in names(&list) {
        match Id::find(name).ok_or_else(|| ColumnError::Column(name.to_owned()))? {
            Word::Field(id) => columns.push(id),
            Word::Help => return Err(ColumnError::Help),
            Word::All => columns.extend(Id::every().filter(|id| (kind.all)(id.needs()))),
            Word::AllOf(needs) => columns.extend(Id::every().filter(|id| id.needs() == needs)),
        }
    }
    Ok(columns)
}

/// The sort keys of the list `typed`.
pub(super) fn keys(typed: &str) -> Result<Vec<Key>, ColumnError> {
    names(typed)
        .map(|name| {
            let bare = name.strip_prefix(['+', '-']).unwrap_or(name);
            match Id::find(bare) {
                Some(Word::Field(id)) => Ok(Key {
                    id,
                    falling: name.starts_with('-'),
                }),
                Some(Word::Help) => Err(ColumnError::Help),
                _ => Err(ColumnError::Key(name.to_owned())),
            }
        })
        .collect()
}

/// The names in a list. Commas may come first and be repeated between them, but not come last: then a name is missing,
/// as in dmsetup.
fn names(list: &str) -> impl Iterator<Item = &str> {
    let named = list.split(',').filter(|name| !name.is_empty());
    named.chain(list.ends_with(',').then_some(""))
}

#[cfg(test)]
mod tests {
    use super::super::fields::Needs;
    use super::*;

    const KIND: Kind<'_> = Kind {
        columns: "name,major",
        sort: "",
        all: |needs| needs == Needs::Split,
    };

    fn ids(typed: &str) -> Result<Vec<Id>, ColumnError> {
        columns(Some(typed), &KIND)
    }

    #[test]
    fn columns_are_named_one_by_one_or_together() {
        assert_eq!(columns(None, &KIND), Ok(vec![Id::Name, Id::Major]));
        assert_eq!(ids("uuid,name"), Ok(vec![Id::Uuid, Id::Name]));
        assert_eq!(ids("+uuid"), Ok(vec![Id::Name, Id::Major, Id::Uuid]));
        assert_eq!(ids("+,uuid"), Ok(vec![Id::Name, Id::Major, Id::Uuid]));
        assert_eq!(ids("name,,name"), Ok(vec![Id::Name, Id::Name]));
        assert_eq!(ids(",name"), Ok(vec![Id::Name]));
        assert_eq!(ids(""), Ok(vec![]));
        assert_eq!(ids("all"), Ok(vec![Id::Subsystem, Id::VgName, Id::LvName, Id::LvLayer]));
        assert_eq!(ids("splitname_all"), ids("all"));
        assert_eq!(
            ids("deps_all"),
            Ok(vec![Id::DeviceCount, Id::DevnosUsed, Id::BlkdevsUsed])
        );
        assert_eq!(ids("NA_ME"), Ok(vec![Id::Name]));
    }

    #[test]
    fn a_name_that_is_none_is_told() {
        let unknown = |name: &str| Err(ColumnError::Column(name.to_owned()));
        assert_eq!(ids("name,nosuch"), unknown("nosuch"));
        assert_eq!(ids("name,"), unknown(""));
        assert_eq!(ids("+"), unknown(""));
        assert_eq!(ids(" name"), unknown(" name"));
        assert_eq!(ids("-name"), unknown("-name"));
        assert_eq!(ids("name,help"), Err(ColumnError::Help));
        assert_eq!(ids("?"), Err(ColumnError::Help));
        let text = ColumnError::Column("nosuch".to_owned()).to_string();
        assert!(text.starts_with("Mapped Device Name Fields\n----"));
        assert!(text.ends_with("  ?                     - Show help.\n \nUnrecognised field: nosuch\n"));
    }

    #[test]
    fn keys_have_a_direction() {
        let key = |id, falling| Key { id, falling };
        assert_eq!(
            keys("-name,+major,minor"),
            Ok(vec![key(Id::Name, true), key(Id::Major, false), key(Id::Minor, false)])
        );
        assert_eq!(keys(""), Ok(vec![]));
        for bad in ["all", "name_all", "+", "-", " name"] {
            assert_eq!(keys(bad), Err(ColumnError::Key(bad.to_owned())));
        }
        assert_eq!(keys("name,"), Err(ColumnError::Key(String::new())));
    }
}
