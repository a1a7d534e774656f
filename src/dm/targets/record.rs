//! The fields of a target as JSON. A field's name is its key there; a number's name ends with its unit.

use serde_json::{Map, Value, json};

use crate::dm::table::DeviceRef;

/// The value of a field.
pub(crate) trait Field {
    fn value(&self) -> Value;

    fn put(&self, name: &str, out: &mut Map<String, Value>) {
        out.insert(name.to_owned(), self.value());
    }
}

/// Fields of one target.
pub(crate) trait Record {
    fn put_all(&self, out: &mut Map<String, Value>);
}

/// A type whose fields go into JSON under their own names.
macro_rules! record {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $help:literal])* $field:ident: $type:ty,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $name {
            $($(#[doc = $help])* pub(crate) $field: $type,)*
        }

        impl $crate::dm::targets::record::Record for $name {
            fn put_all(&self, out: &mut serde_json::Map<String, serde_json::Value>) {
                $($crate::dm::targets::record::Field::put(&self.$field, stringify!($field), out);)*
            }
        }
    };
}
pub(super) use record;

impl<R: Record> Field for R {
    fn value(&self) -> Value {
        let mut out = Map::new();
        self.put_all(&mut out);
        out.into()
    }
}

impl Field for u64 {
    fn value(&self) -> Value {
        // Where some readers of JSON would round it.
        match *self > 1 << 53 {
            true => self.to_string().into(),
            false => (*self).into(),
        }
    }
}

macro_rules! plain_field {
    ($($type:ty)*) => { $(impl Field for $type {
        fn value(&self) -> Value {
            json!(self)
        }
    })* };
}
plain_field!(u32 bool String &'static str);

impl Field for DeviceRef {
    fn value(&self) -> Value {
        self.to_string().into()
    }
}

impl<T: Field> Field for Vec<T> {
    fn value(&self) -> Value {
        self.iter().map(Field::value).collect()
    }
}

impl<T: Field> Field for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Field::value)
    }

    fn put(&self, name: &str, out: &mut Map<String, Value>) {
        match self {
            Some(field) => field.put(name, out),
            None => drop(out.insert(name.to_owned(), Value::Null)),
        }
    }
}

/// How full something is: a field for each of its numbers, and the per cent that lvm2 calls `<name>_percent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) used: u64,
    pub(crate) total: u64,
    pub(crate) unit: Unit,
}

/// A [`Fill`] whose numbers stand in other fields: only its per cent is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Percent(pub(super) Fill);

/// What a [`Fill`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(super) name: &'static str,
    /// The size of one, where it is known.
    pub(super) bytes: Option<u64>,
}

impl Unit {
    pub(super) const SECTORS: Self = Self {
        name: "sectors",
        bytes: Some(512),
    };

    pub(super) const fn blocks(bytes: Option<u64>) -> Self {
        Self { name: "blocks", bytes }
    }
}

impl Fill {
    pub(super) fn new((used, total): (u64, u64), unit: Unit) -> Self {
        Self { used, total, unit }
    }

    /// In hundredths of a per cent. As lvm2 has it, only nothing is 0 and only all is 100 %; `None` of nothing.
    pub(crate) fn hundredths(&self) -> Option<u64> {
        let (used, total) = (u128::from(self.used), u128::from(self.total));
        let rounded = (used * 10_000 + total / 2).checked_div(total)?;
        let rounded = u64::try_from(rounded).unwrap_or(u64::MAX);
        Some(match self.used {
            0 => 0,
            used if used < self.total => rounded.clamp(1, 9_999),
            _ => rounded,
        })
    }

    /// Whether it is that full, or fuller.
    pub(crate) fn reaches(&self, percent: u32) -> bool {
        self.total > 0 && u128::from(self.used) * 100 >= u128::from(self.total) * u128::from(percent)
    }

    /// Two places behind the point.
    pub(crate) fn percent_text(&self) -> String {
        self.hundredths().map_or("n/a".into(), |hundredths| {
            format!("{}.{:02} %", hundredths / 100, hundredths % 100)
        })
    }

    pub(super) fn percent(&self) -> Value {
        self.hundredths()
            .map_or(Value::Null, |hundredths| json!(hundredths as f64 / 100.0))
    }
}

impl Field for Percent {
    fn value(&self) -> Value {
        self.0.percent()
    }

    fn put(&self, name: &str, out: &mut Map<String, Value>) {
        out.insert(format!("{name}_percent"), self.value());
    }
}

impl Field for Fill {
    fn value(&self) -> Value {
        self.percent()
    }

    fn put(&self, name: &str, out: &mut Map<String, Value>) {
        let Unit { name: unit, bytes } = self.unit;
        self.used.put(&format!("{name}_used_{unit}"), out);
        self.total.put(&format!("{name}_total_{unit}"), out);
        if let Some(bytes) = bytes {
            for (count, which) in [(self.used, "used"), (self.total, "total")] {
                count.checked_mul(bytes).put(&format!("{name}_{which}_bytes"), out);
            }
        }
        out.insert(format!("{name}_percent"), self.percent());
    }
}
