//! Strict JSON: what the parser takes is what a second program would take too.
//!
//! No comments, no trailing commas, no single quotes (serde_json), and no member twice in one object (here). Nesting is
//! bounded by serde_json, at 128 levels. Not for: the meaning of the members, see [`super::metadata`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Defect;

/// The members of one JSON object, in the order in which they stand.
pub type Object = Map<String, Value>;

/// Parses the JSON area of a header: one object, then at least one NUL, then nothing but NULs.
///
/// # Errors
/// A [`Defect`] of the area or of the JSON text.
pub fn parse_area(area: &[u8]) -> Result<Object, Defect> {
    if area.first() != Some(&b'{') {
        return Err(Defect::JsonStart);
    }
    let end = area
        .iter()
        .position(|&byte| byte == 0)
        .ok_or(Defect::JsonUnterminated)?;
    if area[end..].iter().any(|&byte| byte != 0) {
        return Err(Defect::JsonTrailingData);
    }
    parse_object(&area[..end])
}

/// Parses one JSON object, with nothing around it but white space.
///
/// # Errors
/// [`Defect::JsonSyntax`] with the position and the reason.
pub fn parse_object(text: &[u8]) -> Result<Object, Defect> {
    match serde_json::from_slice::<Strict>(text) {
        Ok(Strict(Value::Object(object))) => Ok(object),
        Ok(_) => Err(Defect::JsonStart),
        Err(error) => Err(Defect::JsonSyntax(error.to_string())),
    }
}

/// A value in which no object has a member twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some(name) = map.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "member {name:?} stands twice in one object"
                )));
            }
            let Strict(value) = map.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_one_object_and_nuls() {
        assert!(parse_area(b"{}\0\0").is_ok());
        let values = parse_area(b"{\"a\": [1, -1, 1.5, null, true, \"x\", \"\\u0041\\n\"]} \0");
        let expected = serde_json::json!([1, -1, 1.5, null, true, "x", "A\n"]);
        assert_eq!(values.expect("an object").get("a"), Some(&expected));
        assert!(matches!(parse_area(b""), Err(Defect::JsonStart)));
        assert!(matches!(parse_area(b" {}\0"), Err(Defect::JsonStart)));
        assert!(matches!(parse_area(b"[]\0"), Err(Defect::JsonStart)));
        assert!(matches!(parse_area(b"{}"), Err(Defect::JsonUnterminated)));
        assert!(matches!(parse_area(b"{}\0x"), Err(Defect::JsonTrailingData)));
    }

    #[test]
    fn lax_json_is_refused() {
        for text in [
            "{\"a\":1,\"a\":1}",
            "{\"b\":{\"a\":1,\"a\":2}}",
            "{'a':1}",
            "{\"a\":1,}",
            "{/**/}",
            "{}{}",
            "{\"a\":01}",
        ] {
            assert!(
                matches!(parse_object(text.as_bytes()), Err(Defect::JsonSyntax(_))),
                "{text}"
            );
        }
        let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1");
        assert!(matches!(parse_object(deep.as_bytes()), Err(Defect::JsonSyntax(_))));
    }
}
