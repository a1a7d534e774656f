//! Cipher specifications as written in a header, a crypt table or by a user.
//!
//! A [`CipherName`] is any such text, parsed once as dm-crypt parses it, whether or not this crate can compute it. It tells
//! whether data are encrypted at all, whether a text chooses a kernel driver, and what a table contains: no other code
//! compares names of ciphers. Only the kernel knows which ciphers exist.

use std::fmt;

use super::{CipherError, CipherSpec};

/// A cipher specification.
///
/// ```
/// use keyslots::cipher::CipherName;
///
/// assert_eq!(CipherName::new("aes").to_string(), "aes-cbc-plain");
/// assert!(CipherName::new("capi:ecb(cipher_null)-plain").is_null());
/// assert!(!CipherName::new("aes-cbc-null").is_null());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherName {
    text: String,
    defect: Option<&'static str>,
    null: bool,
    driver: bool,
    spec: Result<CipherSpec, CipherError>,
}

/// Why a text is not a valid cipher specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cipher {text:?} {defect}")]
pub struct CipherTextError {
    /// The text.
    pub text: String,
    /// The reason.
    pub defect: &'static str,
    /// Whether it is the name of a kernel driver.
    pub driver: bool,
}

impl CipherName {
    /// Takes any text; [`CipherName::check`] finds its errors.
    pub fn new(text: &str) -> Self {
        let parts = Parts::of(text);
        let spec = text.parse::<CipherSpec>();
        Self {
            text: match &spec {
                // dm-crypt knows names in small letters only, and completes short forms with defaults.
                Ok(spec) if !parts.capi => match text.split_once(':') {
                    Some((name, ignored)) if name.matches('-').count() == 2 && !spec.has_iv_option() => {
                        format!("{spec}:{ignored}")
                    }
                    _ => spec.to_string(),
                },
                _ => text.to_owned(),
            },
            defect: defect(text, &parts, spec.is_ok()),
            null: parts.is_null(),
            driver: spec.is_err() && parts.is_driver(),
            spec,
        }
    }

    /// As [`CipherName::new`], for a text that will be used: nothing that the kernel could never take, and no name of a
    /// kernel driver, since a header must not choose the kernel's modules.
    ///
    /// # Errors
    /// [`CipherTextError`].
    pub fn parse(text: &str) -> Result<Self, CipherTextError> {
        let name = Self::new(text);
        name.check()?;
        Ok(name)
    }

    /// Checks that this is valid in a crypt table.
    ///
    /// # Errors
    /// [`CipherTextError`].
    pub fn check(&self) -> Result<(), CipherTextError> {
        let driver = self.defect.is_none() && self.driver;
        match self
            .defect
            .or(driver.then_some("names a driver of the kernel, not an algorithm"))
        {
            None => Ok(()),
            Some(defect) => Err(CipherTextError {
                text: self.text.clone(),
                defect,
                driver,
            }),
        }
    }

    /// The text for a crypt table. In full: `aes` is `aes-cbc-plain`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The specification that this crate can compute.
    ///
    /// # Errors
    /// [`CipherError`] where it cannot compute this cipher.
    pub fn spec(&self) -> Result<&CipherSpec, CipherError> {
        self.spec.as_ref().map_err(Clone::clone)
    }

    /// Whether this encrypts nothing (`cipher_null` in any mode or template), so that the kernel takes no key for it.
    pub fn is_null(&self) -> bool {
        self.null
    }

    /// Whether data under this cipher are encrypted, as far as its text tells: not under the null cipher, nor under an
    /// invalid specification.
    pub fn encrypts(&self) -> bool {
        !self.null && self.defect.is_none()
    }

    /// Whether this is the same cipher as another, in whatever form each is written.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.spec, &other.spec) {
            (Ok(spec), Ok(other)) => spec == other,
            _ => self.text == other.text,
        }
    }

    /// Whether the mode is XTS, whose key consists of two.
    pub fn is_xts(&self) -> bool {
        Parts::of(&self.text)
            .mode()
            .is_some_and(|mode| mode.eq_ignore_ascii_case("xts"))
    }

    /// The cipher and the mode alone, as `aes-xts`.
    pub fn short(&self) -> String {
        match &self.spec {
            Ok(spec) => spec.short(),
            Err(_) => self.text.clone(),
        }
    }
}

impl From<CipherSpec> for CipherName {
    fn from(spec: CipherSpec) -> Self {
        Self::new(&spec.to_string())
    }
}

impl fmt::Display for CipherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text split as dm-crypt splits it.
struct Parts<'a> {
    capi: bool,
    /// The cipher, in the old form with its number of keys; the template with `capi:`.
    cipher: &'a str,
    /// The mode in the old form.
    mode: Option<&'a str>,
    /// The IV generator with its option.
    iv: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        if let Some(text) = text.strip_prefix("capi:") {
            // Names of drivers have dashes too: the last one behind all brackets counts, but an option may have some.
            let end = text.rfind(')').map_or(0, |at| at + 1);
            let option = text[end..].find(':').map_or(text.len(), |at| end + at);
            let dash = text[end..option].rfind('-').map(|at| end + at);
            return Self {
                capi: true,
                cipher: &text[..dash.unwrap_or(text.len())],
                mode: None,
                iv: dash.map(|at| &text[at + 1..]),
            };
        }
        let mut parts = text.splitn(3, '-');
        Self {
            capi: false,
            cipher: parts.next().unwrap_or_default(),
            mode: parts.next(),
            iv: parts.next(),
        }
    }

    /// The mode: with `capi:` the outermost template.
    fn mode(&self) -> Option<&'a str> {
        match self.capi {
            true => self.cipher.split_once('(').map(|(mode, _)| mode),
            false => self.mode,
        }
    }

    /// The null cipher cancels each mode and template around it.
    fn is_null(&self) -> bool {
        let mut words = self.cipher.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.any(|word| {
            ["null", "cipher_null"]
                .iter()
                .any(|null| word.eq_ignore_ascii_case(null))
        })
    }

    /// Algorithms are written as templates. Drivers mostly have names with a dash or an underscore, which few algorithms
    /// have: a text does not tell more.
    fn is_driver(&self) -> bool {
        let hash = self.iv.and_then(|iv| iv.strip_prefix("essiv:"));
        let mut words = self.cipher.split(['(', ')', ',']);
        self.capi && (!self.cipher.contains('(') || words.any(is_driver)) || hash.is_some_and(is_driver)
    }
}

/// Whether a word of a template is a driver's name, such as `aes-generic` and `p8_aes`.
fn is_driver(word: &str) -> bool {
    const ALGORITHMS: [&str; 4] = ["cipher_null", "digest_null", "michael_mic", "hctr2_base"];
    word.contains(['-', '_']) && !ALGORITHMS.contains(&word) && crate::hash::Hash::from_name(word).is_none()
}

fn defect(text: &str, parts: &Parts<'_>, computable: bool) -> Option<&'static str> {
    if text.is_empty() {
        return Some("is empty");
    }
    if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Some("has a space, a control character or a letter outside ASCII in it");
    }
    // The kernel takes it as an escape for the next letter.
    if text.contains('\\') {
        return Some("has a backslash in it");
    }
    if !parts.capi {
        return None;
    }
    // dm-crypt takes the last one, this crate the first.
    if parts.iv.is_some_and(|iv| iv.matches(':').count() > 1) {
        return Some("has a second colon behind its brackets");
    }
    let mut depth = 0_u32;
    for byte in parts.cipher.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return Some("closes a bracket that it does not open"),
            b')' => depth -= 1,
            _ => {}
        }
    }
    if depth > 0 {
        return Some("does not close all of its brackets");
    }
    if parts.iv.is_none_or(str::is_empty) && !computable {
        return Some("has no IV generator: it is written capi:<template>-<generator>, as in capi:xts(aes)-plain64");
    }
    if parts.cipher.is_empty() || parts.cipher.starts_with('(') || parts.cipher.contains("()") {
        return Some("names no template of the kernel");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_for_granted_is_spelled_out() {
        for (text, full) in [
            ("aes", "aes-cbc-plain"),
            ("aes-plain", "aes-cbc-plain"),
            ("aes-xts-plain64", "aes-xts-plain64"),
            ("AES-XTS-plain64", "aes-xts-plain64"),
            // dm-crypt ignores the text after the colon.
            ("aes-xts-plain64:sha256", "aes-xts-plain64:sha256"),
            ("aes-xts-plain64:a:b-c", "aes-xts-plain64:a:b-c"),
            ("aes-cbc-essiv:SHA256", "aes-cbc-essiv:sha256"),
            ("aes:1-xts-plain64", "aes-xts-plain64"),
            ("null", "cipher_null-ecb"),
            ("null-ecb", "cipher_null-ecb"),
            ("cipher_null", "cipher_null-ecb"),
            ("xchacha12,aes-adiantum-plain64", "xchacha12,aes-adiantum-plain64"),
            ("nosuch", "nosuch"),
            ("capi:xts(aes)-plain64", "capi:xts(aes)-plain64"),
            ("capi:xts(aes)-plain64:sha256", "capi:xts(aes)-plain64:sha256"),
            ("capi:cbc(aes)-essiv:sha256", "capi:cbc(aes)-essiv:sha256"),
            ("capi:cbc(aes)-essiv:sha3-256", "capi:cbc(aes)-essiv:sha3-256"),
            ("capi:ecb(aes)", "capi:ecb(aes)"),
            (
                "capi:authenc(hmac(sha256),xts(aes))-random",
                "capi:authenc(hmac(sha256),xts(aes))-random",
            ),
        ] {
            assert_eq!(CipherName::parse(text).as_ref().map(CipherName::as_str), Ok(full));
        }
    }

    #[test]
    fn what_can_be_no_cipher_is_refused() {
        for (text, defect) in [
            ("", "empty"),
            ("aes xts", "space"),
            ("aes-xts-plain64\n", "space"),
            ("aes-\\xts-plain64", "backslash"),
            ("capi:", "no IV generator"),
            ("capi:-plain64", "names no template"),
            ("capi:xts(aes)", "no IV generator"),
            ("capi:xts(aes)-", "no IV generator"),
            ("capi:xts(aes-plain64", "does not close"),
            ("capi:xts)aes(-plain64", "does not open"),
            ("capi:(aes)-plain64", "names no template"),
            ("capi:xts()-plain64", "names no template"),
            ("capi:cbc(aes)-essiv:sha256:x-plain64", "second colon"),
            ("capi:cbc(aes)-plain64:a:b", "second colon"),
        ] {
            let error = CipherName::parse(text).expect_err(text);
            assert!(error.defect.contains(defect) && !error.driver, "{text}: {error}");
            assert!(!CipherName::new(text).encrypts(), "{text}");
        }
    }

    #[test]
    fn a_kernel_driver_is_not_chosen_by_a_text() {
        for text in [
            "capi:xts(ecb(aes-generic))-plain64",
            "capi:xts(aes-generic)-plain64",
            "capi:xts-aes-aesni-plain64",
            "capi:qat_aes_xts-plain64",
            "capi:authenc(hmac(sha256-generic),xts(aes))-random",
            "capi:cbc(aes)-essiv:sha256-generic",
            "aes-cbc-essiv:sha256-generic",
            "capi:cbc(p8_aes)-plain64",
            "capi:__xts(aes)-plain64",
            "capi:essiv(cbc(aes),sha256-generic)-plain64",
            "capi:cbc(aes)-essiv:p8_ghash",
        ] {
            let error = CipherName::parse(text).expect_err(text);
            assert!(error.driver && error.to_string().contains(text), "{text}: {error}");
        }
        for text in [
            "aes-cbc-essiv:sha3-256",
            "capi:cbc(aes)-essiv:blake2b-512",
            "nosuch-xts-plain64",
            "capi:essiv(cbc(aes),sha3-256)-plain64",
            "capi:authenc(hmac(sha3-512),xts(aes))-random",
            "capi:ecb(cipher_null)-plain64",
        ] {
            assert!(CipherName::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_encrypts_nothing_is_known_in_every_form() {
        for text in [
            "null",
            "NULL-ecb",
            "null-ecb",
            "cipher_null",
            "CIPHER_NULL-ecb",
            "Cipher_NULL-ecb",
            "cipher_null-cbc-plain",
            "cipher_null:1-ecb",
            "capi:ecb(cipher_null)-plain",
            "capi:ecb(cipher_null)",
            "capi:cbc(cipher_null)-plain64",
            "capi:ecb-cipher_null-plain",
            "capi:cryptd(ecb(cipher_null-generic))-null",
            "capi:authenc(hmac(sha256),ecb(cipher_null))-random",
        ] {
            let name = CipherName::new(text);
            assert!(name.is_null() && !name.encrypts(), "{text}");
        }
        // A constant IV is weak, but encrypts.
        for text in [
            "aes-cbc-null",
            "aes-xts-plain64",
            "capi:ecb(aes)-null",
            "nosuch-xts-plain64",
            "aes-xts-plain64:null",
        ] {
            let name = CipherName::new(text);
            assert!(!name.is_null() && name.encrypts(), "{text}");
        }
    }

    #[test]
    fn xts_is_known_in_both_forms() {
        for (text, xts) in [
            ("aes-xts-plain64", true),
            ("nosuch-XTS-plain64", true),
            ("capi:xts(aes)-plain64", true),
            ("capi:cbc(aes)-plain64", false),
            ("aes-cbc-plain", false),
            ("aes", false),
        ] {
            assert_eq!(CipherName::new(text).is_xts(), xts, "{text}");
        }
    }
}
