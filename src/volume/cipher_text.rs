//! Cipher specifications as they are typed: what dm-crypt takes for granted is spelled out, and what the kernel could
//! never take is refused before anything is asked or written.
//!
//! Which ciphers there are is the kernel's to say: a name that is not known here goes to it as it is.

use keyslots::cipher::CipherSpec;

/// Why a text is no cipher specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cipher {text:?} {defect}")]
pub struct CipherTextError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub defect: &'static str,
}

/// The specification in full: `aes` becomes `aes-cbc-plain`. `capi:` texts, in the kernel's own terms, are checked for
/// their form: a template with balanced brackets, and an IV generator behind it.
///
/// # Errors
/// [`CipherTextError`].
pub fn full_cipher_text(text: &str) -> Result<String, CipherTextError> {
    let refuse = |defect| {
        Err(CipherTextError {
            text: text.to_owned(),
            defect,
        })
    };
    if text.is_empty() {
        return refuse("is empty");
    }
    if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return refuse("has a space, a control character or a letter outside ASCII in it");
    }
    if let Some(rest) = text.strip_prefix("capi:") {
        return match capi_defect(rest) {
            Some(defect) => refuse(defect),
            None => Ok(text.to_owned()),
        };
    }
    Ok(text
        .parse::<CipherSpec>()
        .map_or_else(|_| text.to_owned(), |spec| spec.to_string()))
}

/// What is wrong with a text such as `xts(aes)-plain64`.
fn capi_defect(text: &str) -> Option<&'static str> {
    let mut depth = 0_u32;
    for byte in text.bytes() {
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
    // Names of drivers have dashes too: the last one behind all brackets counts.
    let template_end = text.rfind(')').map_or(0, |at| at + 1);
    let (template, tail) = text.split_at(template_end);
    let (template, generator) = match tail.rsplit_once('-') {
        Some((rest, generator)) => (format!("{template}{rest}"), generator),
        None => {
            return Some("has no IV generator: it is written capi:<template>-<generator>, as in capi:xts(aes)-plain64");
        }
    };
    if template.is_empty() || template.starts_with('(') || template.contains("()") {
        return Some("names no template of the kernel");
    }
    if generator.is_empty() {
        return Some("has no IV generator: it is written capi:<template>-<generator>, as in capi:xts(aes)-plain64");
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
            ("null", "cipher_null-ecb"),
            ("cipher_null", "cipher_null-ecb"),
            ("xchacha12,aes-adiantum-plain64", "xchacha12,aes-adiantum-plain64"),
            ("nosuch", "nosuch"),
            ("capi:xts(aes)-plain64", "capi:xts(aes)-plain64"),
            ("capi:cbc(aes)-essiv:sha256", "capi:cbc(aes)-essiv:sha256"),
            (
                "capi:authenc(hmac(sha256),xts(aes))-random",
                "capi:authenc(hmac(sha256),xts(aes))-random",
            ),
            ("capi:xts-aes-aesni-plain64", "capi:xts-aes-aesni-plain64"),
        ] {
            assert_eq!(full_cipher_text(text).as_deref(), Ok(full));
        }
    }

    #[test]
    fn what_can_be_no_cipher_is_refused() {
        for (text, defect) in [
            ("", "empty"),
            ("aes xts", "space"),
            ("aes-xts-plain64\n", "space"),
            ("capi:", "no IV generator"),
            ("capi:-plain64", "names no template"),
            ("capi:xts(aes)", "no IV generator"),
            ("capi:xts(aes)-", "no IV generator"),
            ("capi:xts(aes-plain64", "does not close"),
            ("capi:xts)aes(-plain64", "does not open"),
            ("capi:(aes)-plain64", "names no template"),
            ("capi:xts()-plain64", "names no template"),
        ] {
            let error = full_cipher_text(text).expect_err(text);
            assert!(error.defect.contains(defect), "{text}: {error}");
        }
    }
}
