//! JSON as headers contain it: the parser takes only text that another program would take too, and every value is kept
//! as it is spelt.
//!
//! No comments, no trailing commas, no single quotes, and no member twice in one object. The tokens of other programs are
//! the exception: this crate does not need to understand them, and cryptsetup takes them from whatever text a person
//! imports, so that the same is accepted there ([`parse_token`] and the members of `tokens`). Not for: the meaning of the
//! members, see [`super::metadata`].
//!
//! A number is kept as its digits. A byte of a token that is not UTF-8 is kept as a character of the last private
//! plane; [`to_bytes`] makes it that byte again.

use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::Defect;
use super::tokens::RESERVED_PREFIX;

/// The members of one JSON object, in their order.
pub type Object = Map<String, Value>;

/// The nesting limit of values; cryptsetup's is the same.
const MAX_DEPTH: usize = 32;
/// How deep in a header the members of a token are.
const TOKEN_DEPTH: usize = 2;
/// The character that keeps the byte 0x80; those behind it keep the bytes up to 0xff.
pub const FIRST_BYTE_CHAR: char = '\u{10ff80}';

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

/// Parses the JSON object of a header, with nothing around it but white space.
///
/// # Errors
/// [`Defect::JsonSyntax`] with the position and the reason.
pub fn parse_object(text: &[u8]) -> Result<Object, Defect> {
    let mut reader = Reader::new(text);
    let value = reader.value(1, Place::Root)?;
    reader.skip_space()?;
    if reader.at < text.len() {
        return Err(reader.wrong("something behind the object"));
    }
    object(value)
}

/// Parses the text of an imported token, as leniently as cryptsetup: the last of repeated members counts, and anything
/// behind the object is ignored.
///
/// # Errors
/// [`Defect::JsonSyntax`] with the position and the reason.
pub fn parse_token(text: &[u8]) -> Result<Object, Defect> {
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    let mut reader = Reader::new(&text[..end]);
    reader.lenient = true;
    object(reader.value(1 + TOKEN_DEPTH, Place::Other)?)
}

fn object(value: Value) -> Result<Object, Defect> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Defect::JsonStart),
    }
}

/// The text of a value, with the bytes that other programs gave it.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    restore_bytes(value.to_string())
}

/// JSON text as bytes; characters that represent bytes that are not UTF-8 become those bytes.
pub fn restore_bytes(text: String) -> Vec<u8> {
    let text = text.into_bytes();
    if !text.contains(&FOUR_BYTES) {
        return text;
    }
    let text = String::from_utf8(text).unwrap_or_default();
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c).checked_sub(FIRST_BYTE_CHAR.into()) {
            Some(byte) => bytes.push(byte as u8 | 0x80),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// A text of the metadata for display: bytes that are not UTF-8 become U+FFFD.
pub fn lossy(text: &str) -> String {
    String::from_utf8_lossy(&restore_bytes(text.to_owned())).into_owned()
}

/// The value as every JSON parser takes it: non-standard numbers (`NaN`, `Infinity`) become null.
pub fn strict(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(strict).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), strict(value)))
            .collect(),
        Value::Number(number) if number.as_str().ends_with(|c: char| c.is_ascii_alphabetic()) => Value::Null,
        other => other.clone(),
    }
}

/// First byte, in UTF-8, of the characters that represent bytes.
const FOUR_BYTES: u8 = 0xf4;

/// Text of arbitrary bytes; a character that could represent a byte is kept as its own bytes.
pub(super) fn lossless(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let keep = |text: &mut String, bytes: &[u8]| {
        let chars = bytes
            .iter()
            .map(|byte| u32::from(FIRST_BYTE_CHAR) - 0x80 + u32::from(*byte));
        text.extend(chars.filter_map(char::from_u32));
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c >= FIRST_BYTE_CHAR {
                keep(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(c);
            }
        }
        keep(&mut text, chunk.invalid());
    }
    text
}

/// A number as its text, which is checked here and printed by serde_json as it is.
fn number_of(text: String) -> Number {
    Number::from_string_unchecked(text)
}

fn not_finite(text: &str) -> Value {
    Value::Number(number_of(text.to_owned()))
}

/// The object that is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Tokens,
    Other,
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// Accepts what cryptsetup accepts.
    lenient: bool,
    /// The position of the first thing that only a lenient reader accepts.
    lax: Option<usize>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            lenient: false,
            lax: None,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn wrong(&self, what: &str) -> Defect {
        Defect::JsonSyntax(format!("{what} at byte {}", self.at))
    }

    /// Handles text that is not JSON: an error, except for a lenient reader.
    fn not_json(&mut self, what: &str) -> Result<(), Defect> {
        if !self.lenient {
            return Err(self.wrong(what));
        }
        self.lax.get_or_insert(self.at);
        Ok(())
    }

    fn skip_space(&mut self) -> Result<(), Defect> {
        loop {
            while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
                self.at += 1;
            }
            if self.peek() != Some(b'/') {
                return Ok(());
            }
            self.not_json("a comment")?;
            let rest = &self.text[self.at..];
            let (mark, end): (usize, &[u8]) = match rest.get(1) {
                Some(b'*') => (2, b"*/"),
                Some(b'/') => (2, b"\n"),
                _ => return Err(self.wrong("a stray slash")),
            };
            let len = rest[mark..].windows(end.len()).position(|window| window == end);
            self.at += mark + len.ok_or_else(|| self.wrong("a comment without an end"))? + end.len();
        }
    }

    fn value(&mut self, depth: usize, place: Place) -> Result<Value, Defect> {
        self.skip_space()?;
        if depth > MAX_DEPTH {
            return Err(self.wrong("a value nested too deep"));
        }
        match self.peek() {
            Some(b'{') => self.members(depth, place).map(Value::Object),
            Some(b'[') => {
                let mut values = Vec::new();
                self.each(b']', |reader| {
                    values.push(reader.value(depth + 1, Place::Other)?);
                    Ok(())
                })?;
                Ok(Value::Array(values))
            }
            Some(b'"' | b'\'') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(_) => self.word(),
            None => Err(self.wrong("no value")),
        }
    }

    /// The elements between brackets, separated by commas.
    fn each(&mut self, close: u8, mut one: impl FnMut(&mut Self) -> Result<(), Defect>) -> Result<(), Defect> {
        self.at += 1;
        self.skip_space()?;
        let mut first = true;
        loop {
            if self.peek() == Some(close) {
                if !first {
                    self.not_json("a comma before the end")?;
                }
                self.at += 1;
                return Ok(());
            }
            first = false;
            one(self)?;
            self.skip_space()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("no comma and no end")),
            }
            self.skip_space()?;
        }
    }

    fn members(&mut self, depth: usize, place: Place) -> Result<Object, Defect> {
        let mut object = Object::new();
        self.each(b'}', |reader| {
            let at = reader.at;
            if !matches!(reader.peek(), Some(b'"' | b'\'')) {
                return Err(reader.wrong("no name of a member"));
            }
            let name = reader.string()?;
            reader.skip_space()?;
            if reader.peek() != Some(b':') {
                return Err(reader.wrong("no colon"));
            }
            reader.at += 1;
            let inside = match place {
                Place::Root if name == "tokens" => Place::Tokens,
                _ => Place::Other,
            };
            let entry = object.entry(name);
            if matches!(entry, Entry::Occupied(_)) {
                let what = format!("{:?}, which stands twice in one object,", entry.key());
                let behind = std::mem::replace(&mut reader.at, at);
                reader.not_json(&what)?;
                reader.at = behind;
            }
            let value = match place {
                Place::Tokens => reader.token(depth + 1)?,
                Place::Root | Place::Other => reader.value(depth + 1, inside)?,
            };
            match entry {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(mut entry) => drop(entry.insert(value)),
            }
            Ok(())
        })?;
        Ok(object)
    }

    /// A token. One of the format's own types is read as strictly as the rest of the header, but for bytes that are not
    /// UTF-8.
    fn token(&mut self, depth: usize) -> Result<Value, Defect> {
        self.lenient = true;
        let value = self.value(depth, Place::Other)?;
        self.lenient = false;
        let kind = value.get("type").and_then(Value::as_str);
        match self.lax.take() {
            Some(at) if kind.is_none_or(|kind| kind.starts_with(RESERVED_PREFIX)) => {
                self.at = at;
                Err(self.wrong("a token that is not JSON"))
            }
            _ => Ok(value),
        }
    }

    /// `true`, `false` and `null`; for a lenient reader also non-standard numbers.
    fn word(&mut self) -> Result<Value, Defect> {
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|byte| !byte.is_ascii_alphabetic());
        let word = &rest[..len.unwrap_or(rest.len())];
        let words = [
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("null", Value::Null),
            ("NaN", not_finite("NaN")),
            ("Infinity", not_finite("Infinity")),
        ];
        let found = words
            .into_iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        let (name, value) = found.ok_or_else(|| self.wrong("no value"))?;
        if word != name.as_bytes() || value.is_number() {
            self.not_json("no value")?;
        }
        self.at += word.len();
        Ok(value)
    }

    /// The digits as they are; a lenient reader also accepts, and drops, those that a number may not have.
    fn number(&mut self) -> Result<Number, Defect> {
        const INFINITY: &[u8] = b"-Infinity";
        let start = self.at;
        let rest = &self.text[start..];
        if rest
            .get(..INFINITY.len())
            .is_some_and(|text| text.eq_ignore_ascii_case(INFINITY))
        {
            self.not_json("no number")?;
            self.at += INFINITY.len();
            return Ok(number_of("-Infinity".to_owned()));
        }
        let sign = usize::from(rest[0] == b'-');
        self.at += sign;
        let digits = self.digits();
        let zeros = digits
            .iter()
            .take(digits.len().saturating_sub(1))
            .take_while(|digit| **digit == b'0');
        let zeros = zeros.count();
        if digits.is_empty() {
            return Err(self.wrong("no digit"));
        }
        if zeros > 0 {
            self.not_json("a number that starts with 0")?;
        }
        let (mut end, mut fraction) = (self.at, "");
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits().is_empty() {
                self.not_json("no digit")?;
                fraction = "0";
            }
            end = self.at;
        }
        let mut exponent = end..end;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits().is_empty() {
                self.not_json("no digit")?;
            } else {
                exponent.end = self.at;
            }
        }
        let mut text = String::with_capacity(exponent.end - start);
        for part in [start..start + sign, start + sign + zeros..end] {
            text.extend(self.text[part].iter().copied().map(char::from));
        }
        text.push_str(fraction);
        text.extend(self.text[exponent].iter().copied().map(char::from));
        Ok(number_of(text))
    }

    fn digits(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let len = rest
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn string(&mut self) -> Result<String, Defect> {
        let quote = self.text[self.at];
        if quote != b'"' {
            self.not_json("a single quote")?;
        }
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let acts = |byte: &u8| *byte == quote || *byte == b'\\' || *byte < b' ';
            let len = rest
                .iter()
                .position(acts)
                .ok_or_else(|| self.wrong("a string without an end"))?;
            bytes.extend_from_slice(&rest[..len]);
            self.at += len;
            match rest[len] {
                b'\\' => self.escape(&mut bytes)?,
                byte if byte == quote => break,
                byte => {
                    self.not_json("a control character")?;
                    self.at += 1;
                    bytes.push(byte);
                }
            }
        }
        let ours = bytes.contains(&FOUR_BYTES);
        let text = match String::from_utf8(bytes) {
            Ok(text) if !ours => text,
            Ok(text) => lossless(text.as_bytes()),
            // The format's own tokens have such strings too: the description of a key may be any bytes.
            Err(error) if self.lenient => lossless(error.as_bytes()),
            Err(_) => return Err(self.wrong("a string that is not UTF-8")),
        };
        self.at += 1;
        Ok(text)
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Defect> {
        let escaped = self.text.get(self.at + 1).copied();
        self.at += 2;
        bytes.push(match escaped {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let c = self.code_point()?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => {
                self.at -= 2;
                return Err(self.wrong("an unknown escape"));
            }
        });
        Ok(())
    }

    /// The character of `\u`, or of two of them for a surrogate pair.
    fn code_point(&mut self) -> Result<char, Defect> {
        let first = self
            .four_digits()
            .ok_or_else(|| self.wrong("an escape without its digits"))?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let behind = self.at;
            self.at += 2;
            match self.four_digits() {
                Some(second) if (0xdc00..0xe000).contains(&second) => {
                    let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                _ => self.at = behind,
            }
        }
        match char::from_u32(first) {
            Some(c) => Ok(c),
            None => {
                self.not_json("half of a character")?;
                Ok(char::REPLACEMENT_CHARACTER)
            }
        }
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
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

    /// Each with its defect, and whether the token of another program may have it.
    #[rustfmt::skip]
    const LAX: [(&[u8], bool); 39] = [
        (b"{\"a\":1,\"a\":1}", true), (b"{\"b\":{\"a\":1,\"a\":2}}", true), (b"{'a':1}", true), (b"{\"a\":'b'}", true),
        (b"{\"a\":1,}", true), (b"{\"a\":[1,]}", true), (b"{/**/}", true), (b"{// x\n}", true), (b"{\"a\":01}", true),
        (b"{\"a\":-007}", true), (b"{\"a\":1.}", true), (b"{\"a\":1e}", true), (b"{\"a\":NaN}", true),
        (b"{\"a\":-infinity}", true), (b"{\"a\":Infinity}", true), (b"{\"a\":TRUE}", true), (b"{\"a\":\"\\ud800\"}", true),
        (b"{\"a\":\"\\udc00\\ud800\"}", true), (b"{\"a\":\"\x01\"}", true), (b"{\"a\":\"\xff\"}", true),
        (b"{a:1}", false), (b"{\"a\":b}", false), (b"{\"a\":.5}", false), (b"{\"a\":+1}", false), (b"{\"a\":0x10}", false),
        (b"{\"a\":1.2.3}", false), (b"{\"a\":--1}", false), (b"{\"a\":-}", false), (b"{\"a\":-inf}", false),
        (b"{\"a\":\"\\x\"}", false), (b"{\"a\":\"\\u00g0\"}", false), (b"{\"a\":\"\\u00", false), (b"{\"a\":\"b", false),
        (b"{\"a\" 1}", false), (b"{\"a\":1 \"b\":2}", false), (b"{,}", false), (b"{\"a\":1", false), (b"{/*", false), (b"{/", false),
    ];

    #[test]
    fn lax_json_is_refused_but_in_foreign_tokens() {
        for (text, lenient) in LAX {
            let shown = String::from_utf8_lossy(text);
            assert!(matches!(parse_object(text), Err(Defect::JsonSyntax(_))), "{shown}");
            assert_eq!(parse_token(text).is_ok(), lenient, "{shown}");
            for (kind, taken) in [("clevis", lenient), ("luks2-keyring", false)] {
                let token = [
                    format!("{{\"tokens\":{{\"0\":{{\"type\":\"{kind}\",").as_bytes(),
                    &text[1..],
                    b"}}",
                ]
                .concat();
                let taken = taken || text.contains(&0xff);
                assert_eq!(parse_object(&token).is_ok(), taken, "{shown} {kind}");
            }
        }
        for text in [b"{}{}".as_slice(), b"{} x", b"{}\0"] {
            assert!(matches!(parse_object(text), Err(Defect::JsonSyntax(_))));
            assert!(parse_token(text).is_ok());
        }
        for deep in ["{\"a\":", "["] {
            let text = deep.repeat(100_000);
            assert!(matches!(parse_object(text.as_bytes()), Err(Defect::JsonSyntax(_))));
        }
    }

    /// As deep as cryptsetup accepts, in a header and in a token that it could not read again in one.
    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        for (depth, header, token) in [
            (29, true, true),
            (30, true, false),
            (31, true, false),
            (32, false, false),
        ] {
            assert_eq!(parse_object(nested(depth).as_bytes()).is_ok(), header, "{depth}");
            assert_eq!(parse_token(nested(depth).as_bytes()).is_ok(), token, "{depth}");
        }
    }

    #[test]
    fn values_are_kept_as_they_are_spelt() {
        let text = r#"{"a":[18446744073709551616,-0,-0.0,1e3,1E+3,1.50,0.1234567890123456789012345,1e400,-1e-400]}"#;
        for parsed in [parse_object(text.as_bytes()), parse_token(text.as_bytes())] {
            assert_eq!(Value::Object(parsed.expect("JSON")).to_string(), text);
        }
        // Non-standard text is written as JSON, except where JSON has no form for it.
        let lax = b"{'a':[NAN,-infinity,007,-01,1.,-2.e5,1e,True,'\\ud83d',\"\t\xff\xf4\x8f\xbf\xbf\"],/*x*/'b':1,'a':2,'c':{},} x";
        let parsed = Value::Object(parse_token(lax).expect("a token"));
        assert_eq!(to_bytes(&parsed), b"{\"a\":2,\"b\":1,\"c\":{}}");
        let lax = &lax[..lax.len() - ",'a':2,'c':{},} x".len()];
        let parsed = Value::Object(parse_token(&[lax, b"}"].concat()).expect("a token"));
        let written =
            b"{\"a\":[NaN,-Infinity,7,-1,1.0,-2.0e5,1,true,\"\xef\xbf\xbd\",\"\\t\xff\xf4\x8f\xbf\xbf\"],\"b\":1}";
        assert_eq!(to_bytes(&parsed), written);
        assert_eq!(Value::Object(parse_token(written).expect("a token")), parsed);
        assert_eq!(strict(&parsed)["a"][0], Value::Null);
        assert_eq!(strict(&parsed)["a"][2], 7);
    }
}
