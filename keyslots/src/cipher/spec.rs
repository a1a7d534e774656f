//! Cipher specifications as text: `cipher-mode-iv`, as in headers, crypt tables and command lines.

use std::fmt;
use std::str::FromStr;

use super::CipherError;
use super::algorithm::Algorithm;
use super::iv::IvKind;

/// Chaining mode.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Xts,
    Cbc,
    Ecb,
    Lrw,
    Ctr,
    Pcbc,
    Cfb,
    Ofb,
    Adiantum,
    Hctr2,
}

impl Mode {
    const ALL: [Self; 10] = [
        Self::Xts,
        Self::Cbc,
        Self::Ecb,
        Self::Lrw,
        Self::Ctr,
        Self::Pcbc,
        Self::Cfb,
        Self::Ofb,
        Self::Adiantum,
        Self::Hctr2,
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Xts => "xts",
            Self::Cbc => "cbc",
            Self::Ecb => "ecb",
            Self::Lrw => "lrw",
            Self::Ctr => "ctr",
            Self::Pcbc => "pcbc",
            Self::Cfb => "cfb",
            Self::Ofb => "ofb",
            Self::Adiantum => "adiantum",
            Self::Hctr2 => "hctr2",
        }
    }

    /// Whether this makes a key stream. The kernel gives such ciphers blocks of one byte.
    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::Ctr | Self::Cfb | Self::Ofb)
    }
}

/// A cipher, a chaining mode and an IV generator that this crate can compute, and that go together.
///
/// ```
/// use keyslots::cipher::CipherSpec;
///
/// let spec: CipherSpec = "aes".parse()?;
/// assert_eq!(spec.to_string(), "aes-cbc-plain");
/// assert_eq!(spec.parts(), ("aes", "cbc-plain".to_owned()));
/// # Ok::<(), keyslots::cipher::CipherError>(())
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CipherSpec {
    pub(super) algorithm: Algorithm,
    pub(super) mode: Mode,
    pub(super) iv: IvKind,
}

impl CipherSpec {
    /// Parses the two fields of a LUKS1 header: `aes` and `xts-plain64`.
    ///
    /// # Errors
    /// As parsing the whole text.
    pub fn from_parts(cipher: &str, mode: &str) -> Result<Self, CipherError> {
        format!("{cipher}-{mode}").parse()
    }

    /// The two fields of a LUKS1 header: cipher, and mode with IV generator.
    pub fn parts(&self) -> (&'static str, String) {
        let mode = match self.iv {
            IvKind::None => self.mode.name().to_owned(),
            iv => format!("{}-{iv}", self.mode.name()),
        };
        (self.algorithm.name(), mode)
    }

    /// Whether this encrypts nothing at all (`cipher_null`).
    pub fn is_null(&self) -> bool {
        self.algorithm == Algorithm::Null
    }

    /// Whether this makes one block of a whole sector (`adiantum`, `hctr2`), so that no bit of it changes alone.
    pub fn is_wide(&self) -> bool {
        matches!(self.mode, Mode::Adiantum | Mode::Hctr2)
    }

    /// The cipher and the mode alone, as `aes-xts`.
    pub(super) fn short(&self) -> String {
        format!("{}-{}", self.algorithm.name(), self.mode.name())
    }

    /// Whether the text after the colon of the IV generator counts. Of those here, it does for ESSIV alone.
    pub(super) fn has_iv_option(&self) -> bool {
        matches!(self.iv, IvKind::Essiv(_))
    }

    /// Whether a key of `len` bytes fits: with both halves for `xts`, with the tweak key for `lrw`, and with that of the
    /// sectors, which is as long as all the rest, for `elephant`.
    ///
    /// # Errors
    /// [`CipherError::BadKeyLength`].
    pub fn check_key_len(&self, len: usize) -> Result<(), CipherError> {
        self.split_key_len(len).map(|_| ())
    }

    /// Bytes of a whole key of `len` bytes that the block cipher itself takes, and after them those that the mode takes
    /// besides. The rest is for the IV generator.
    pub(super) fn split_key_len(&self, len: usize) -> Result<(usize, usize), CipherError> {
        let half = |len: usize| len.is_multiple_of(2).then_some(len / 2);
        let with_elephant = self.has_diffuser();
        let for_mode = if with_elephant { half(len) } else { Some(len) };
        let split = for_mode.and_then(|for_mode| match self.mode {
            _ if self.is_null() => Some((for_mode, 0)),
            Mode::Xts => half(for_mode).map(|half| (half, half)),
            Mode::Lrw => {
                let tweak = self.algorithm.block_len();
                for_mode.checked_sub(tweak).map(|rest| (rest, tweak))
            }
            _ => Some((for_mode, 0)),
        });
        split
            .filter(|(cipher, _)| self.algorithm.takes_key_of(*cipher))
            .filter(|(cipher, mode)| !with_elephant || Algorithm::Aes.takes_key_of(cipher + mode))
            .ok_or_else(|| CipherError::BadKeyLength {
                spec: self.to_string(),
                len,
            })
    }

    /// Whether sectors are diffused, under a key of their own. A mode without an IV ignores `elephant` too.
    pub(super) fn has_diffuser(&self) -> bool {
        self.iv == IvKind::Elephant && self.mode != Mode::Ecb
    }

    fn check(self, text: &str) -> Result<Self, CipherError> {
        let incompatible = |rule| {
            Err(CipherError::Incompatible {
                spec: text.to_owned(),
                rule,
            })
        };
        let wide = self.algorithm.block_len() == 16;
        if self.is_null() && self.mode != Mode::Ecb {
            return incompatible("cipher_null has no other mode than ecb");
        }
        if matches!(self.mode, Mode::Xts | Mode::Lrw | Mode::Hctr2) && !wide {
            return incompatible("xts, lrw and hctr2 take ciphers with blocks of 16 bytes");
        }
        if self.algorithm.is_pair() != (self.mode == Mode::Adiantum) {
            return incompatible("adiantum takes xchacha12,aes or xchacha20,aes, and these take no other mode");
        }
        if let IvKind::Essiv(_) | IvKind::Eboiv | IvKind::Elephant = self.iv
            && self.is_wide()
        {
            return incompatible("adiantum and hctr2 take no IV that is encrypted");
        }
        if let IvKind::Eboiv | IvKind::Elephant = self.iv
            && self.mode.is_stream()
        {
            return incompatible("eboiv and elephant take no mode that makes a key stream");
        }
        if let IvKind::Essiv(hash) = self.iv
            && self.mode != Mode::Ecb
            && !self.algorithm.takes_key_of(hash.output_len())
        {
            return incompatible("the cipher takes no key as long as a digest of the ESSIV hash");
        }
        if self.has_diffuser() && [16, 24, 32].iter().all(|len| self.split_key_len(2 * len).is_err()) {
            return incompatible("elephant takes a key of AES as long as that of the data, which the cipher has not");
        }
        Ok(self)
    }
}

impl FromStr for CipherSpec {
    type Err = CipherError;

    fn from_str(text: &str) -> Result<Self, CipherError> {
        if let Some(template) = text.strip_prefix("capi:") {
            return Self::from_template(text, template);
        }
        // cryptsetup writes names as they were typed, and recognises them in capitals too.
        let text = &text.to_ascii_lowercase();
        let mut parts = text.splitn(3, '-');
        let name = parts.next().unwrap_or_default();
        // A number of keys may follow. One is the default, and with more each sector has one of its own.
        let name = name.strip_suffix(":1").unwrap_or(name);
        let algorithm = Algorithm::from_name(name).ok_or_else(|| CipherError::UnknownCipher(name.to_owned()))?;
        let (mode, iv) = match (parts.next(), parts.next()) {
            // dm-crypt's default since its first version.
            (None, _) if algorithm == Algorithm::Null => ("ecb", None),
            (None, _) | (Some("plain"), None) => ("cbc", Some("plain")),
            (Some(mode), iv) => (mode, iv),
        };
        let mode = Mode::from_name(mode).ok_or_else(|| CipherError::UnknownMode(mode.to_owned()))?;
        Self::with_iv(text, algorithm, mode, iv)
    }
}

impl CipherSpec {
    fn with_iv(text: &str, algorithm: Algorithm, mode: Mode, iv: Option<&str>) -> Result<Self, CipherError> {
        let iv = match iv {
            None if mode == Mode::Ecb => IvKind::None,
            None => return Err(CipherError::MissingIv(text.to_owned())),
            Some(iv) => IvKind::from_name(iv).ok_or_else(|| CipherError::UnknownIv(iv.to_owned()))?,
        };
        Self { algorithm, mode, iv }.check(text)
    }

    /// Of `capi:xts(aes)-plain64`, in the terms of the kernel's crypto interface.
    fn from_template(whole: &str, text: &str) -> Result<Self, CipherError> {
        let unknown = || CipherError::UnknownCipher(whole.to_owned());
        let (mode, rest) = text.split_once('(').ok_or_else(unknown)?;
        // ESSIV is a template of its own; with others around it, or with drivers' names, only the kernel understands it.
        let (cipher, iv) = rest.split_once(')').ok_or_else(unknown)?;
        // Here case matters, as to the kernel.
        let plain = |text: &str| !text.contains(|c: char| matches!(c, '(' | ')' | '-') || c.is_ascii_uppercase());
        let mode = Some(mode).filter(|mode| plain(mode)).and_then(Mode::from_name);
        let cipher = match mode {
            // The template's default, which may be named.
            Some(Mode::Adiantum) => cipher.strip_suffix(",nhpoly1305").unwrap_or(cipher),
            _ => cipher,
        };
        let algorithm = Some(cipher).filter(|cipher| plain(cipher) && *cipher != "null");
        let algorithm = algorithm.and_then(Algorithm::from_name);
        let (Some(mode), Some(algorithm)) = (mode, algorithm) else {
            return Err(unknown());
        };
        let iv = match iv.strip_prefix('-') {
            None if iv.is_empty() => None,
            iv => Some(iv.ok_or_else(unknown)?),
        };
        // A mode without an IV ignores the generator.
        match (mode, iv) {
            (Mode::Ecb, _) => Self::with_iv(whole, algorithm, mode, None),
            (_, None) => Err(CipherError::MissingIv(whole.to_owned())),
            (_, iv) => Self::with_iv(whole, algorithm, mode, iv),
        }
    }
}

impl fmt::Display for CipherSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cipher, mode) = self.parts();
        write!(f, "{cipher}-{mode}")
    }
}
