//! crypttab(5), as Debian and systemd document it: a text becomes entries and warnings, never an error.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use super::options::VolumeOptions;
use super::source::{DeviceSpec, Place};

/// The first source of a volume's key. If it is unavailable, a person is prompted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A person.
    Ask,
    /// A file.
    File(Place),
    /// A device itself, as with mkinitcpio's `cryptkey=`: its offset and size are in the options.
    Raw(DeviceSpec),
    /// A file here or, if it is missing, on whichever device has it, as with dracut's `rd.luks.key=`.
    Search(PathBuf),
    /// The output of a program: its path or name, and its argument.
    Script {
        /// The program.
        program: String,
        /// The third field.
        argument: String,
    },
}

/// One volume to unlock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of the mapping.
    pub name: String,
    /// Whether the whole UUID is appended to the name once it is known.
    pub named_by_uuid: bool,
    /// The device with the data.
    pub source: DeviceSpec,
    /// The source of the key.
    pub key: KeySource,
    /// The options.
    pub options: VolumeOptions,
    /// Its position among the entries: a key script runs after the entries before it.
    pub position: usize,
    /// The fields as written in the file, for a key script.
    pub fields: [String; 4],
}

/// The contents of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crypttab {
    /// The entries, in their order.
    pub entries: Vec<Entry>,
    /// The lines that are invalid, each with a warning.
    pub warnings: Vec<String>,
}

impl Crypttab {
    /// Reads the text of a crypttab.
    pub fn parse(text: &str) -> Self {
        let mut crypttab = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut warnings = Vec::new();
            crypttab.entries.extend(Entry::parse(line, &mut warnings));
            let located = warnings.into_iter().map(|warning| format!("line {number}: {warning}"));
            crypttab.warnings.extend(located);
        }
        crypttab.keep_first_of_each_name();
        crypttab
    }

    /// Mapping names are unique: the first entry with a name stays.
    pub(super) fn keep_first_of_each_name(&mut self) {
        let mut names = Vec::new();
        self.entries.retain(|entry| {
            let first = !names.contains(&entry.name);
            if first {
                names.push(entry.name.clone());
            } else {
                let warning = format!("{} appears twice; the first entry is used", entry.name);
                self.warnings.push(warning);
            }
            first
        });
    }
}

impl Entry {
    /// Parses one line, which is not empty.
    fn parse(line: &str, warnings: &mut Vec<String>) -> Option<Self> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, source, rest @ ..] = fields.as_slice() else {
            warnings.push("there is no device, so the line is ignored".into());
            return None;
        };
        if rest.len() > 2 {
            warnings.push(format!("{} fields too many are ignored", rest.len() - 2));
        }
        let key = rest.first().copied().unwrap_or("none");
        let list = rest.get(1).copied().unwrap_or_default();
        Self::new(name, source, key, list, warnings)
    }

    /// Makes an entry of the four fields, in which `\040` and the like encode a character.
    pub fn new(name: &str, source: &str, key: &str, list: &str, warnings: &mut Vec<String>) -> Option<Self> {
        let fields = [name, source, key, list].map(str::to_owned);
        let [name, source, key] = [name, source, key].map(unescape);
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            warnings.push(format!("'{name}' cannot be the name of a mapping, so it is ignored"));
            return None;
        }
        let mut problems = Vec::new();
        let options = VolumeOptions::parse(list, &mut problems);
        warnings.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
        Some(Self {
            key: KeySource::of(&key, &options),
            source: DeviceSpec::parse(&source),
            named_by_uuid: false,
            name,
            options,
            position: 0,
            fields,
        })
    }
}

impl KeySource {
    /// Whether it is a device that gives other bytes each time: by its name, or by its number (devices.txt of the kernel).
    /// Any other character device may be one that stores a key.
    pub fn is_random(&self) -> bool {
        let Self::File(place) = self else { return false };
        let has_number = || {
            let metadata = std::fs::metadata(&place.path).ok();
            let device = metadata.filter(|metadata| metadata.file_type().is_char_device());
            let number = device.map(|metadata| (major(metadata.rdev()), minor(metadata.rdev())));
            matches!(number, Some((1, 8 | 9) | (10, 183)))
        };
        let named = ["/dev/urandom", "/dev/random", "/dev/hwrng", "/dev/hw_random"];
        place.device.is_none() && (named.iter().any(|name| place.path == Path::new(name)) || has_number())
    }

    /// From the third field.
    pub fn of(key: &str, options: &VolumeOptions) -> Self {
        let asked = matches!(key, "" | "none" | "-");
        let script = options.keyscript.as_deref();
        match script.map(|script| script.rsplit('/').next().unwrap_or(script)) {
            // Sharing a passphrase among volumes is what unlocking them together does anyway.
            Some("decrypt_keyctl") => Self::Ask,
            // `device:path[:timeout]`.
            Some("passdev") => {
                let (device, path) = key.split_once(':').unwrap_or((key, ""));
                let path = path
                    .rsplit_once(':')
                    .filter(|(_, time)| time.parse::<u32>().is_ok())
                    .map_or(path, |(path, _)| path);
                Self::File(Place {
                    path: path.into(),
                    device: Some(DeviceSpec::parse(device)),
                })
            }
            Some(_) => Self::Script {
                program: script.unwrap_or_default().to_owned(),
                argument: key.to_owned(),
            },
            None if asked => Self::Ask,
            None => Self::File(Place::parse(key)),
        }
    }
}

/// Decodes `\040` and `\0101`, as in Debian: a backslash, a zero, and up to three octal digits of one byte; and three
/// digits, of which the first is not zero, as in fstab(5).
pub(super) fn unescape(field: &str) -> String {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind
            .iter()
            .take(4)
            .take_while(|byte| (b'0'..=b'7').contains(*byte))
            .count();
        let value = |len: usize| {
            let digits = behind[..len].iter();
            digits.fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'))
        };
        let most = if behind.first() == Some(&b'0') {
            digits
        } else {
            digits.min(3)
        };
        let byte = (3..=most)
            .rev()
            .find_map(|len| Some((u8::try_from(value(len)).ok()?, len)));
        match byte.filter(|_| first == b'\\') {
            Some((byte, len)) => {
                plain.push(byte);
                rest = &behind[len..];
            }
            None => {
                plain.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| field.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::options::Kind;

    #[test]
    fn fields_are_read_and_missing_ones_have_their_defaults() {
        let crypttab = Crypttab::parse(
            "# comment\n\n root UUID=AB none luks,discard\nswap\t/dev/sda2 /dev/urandom swap,plain\nhome /dev/sdb\n\
             a\\040b LABEL=x\\040y /k\\072:LABEL=keys luks\n",
        );
        assert_eq!(crypttab.warnings, Vec::<String>::new());
        let [root, swap, home, spaced] = crypttab.entries.as_slice() else {
            panic!("{crypttab:?}")
        };
        assert_eq!(
            (root.name.as_str(), &root.source),
            ("root", &DeviceSpec::Uuid("ab".into()))
        );
        assert_eq!((&root.key, root.options.discard), (&KeySource::Ask, true));
        assert_eq!(swap.key, KeySource::File(Place::parse("/dev/urandom")));
        assert_eq!((swap.options.kind, swap.options.swap), (Some(Kind::Plain), true));
        assert_eq!((&home.key, home.options.kind), (&KeySource::Ask, None));
        assert_eq!(spaced.name, "a b");
        assert_eq!(spaced.source, DeviceSpec::Label("x y".into()));
        assert_eq!(spaced.key, KeySource::File(Place::parse("/k::LABEL=keys")));
        assert_eq!(spaced.fields[0], "a\\040b");
    }

    #[test]
    fn what_cannot_be_meant_is_passed_over_with_a_warning() {
        let crypttab = Crypttab::parse("only\na/b /dev/x\nx /dev/x none luks one two\nx /dev/y\nz /dev/z - bogus\n");
        assert_eq!(
            crypttab.warnings,
            [
                "line 1: there is no device, so the line is ignored",
                "line 2: 'a/b' cannot be the name of a mapping, so it is ignored",
                "line 3: 2 fields too many are ignored",
                "line 5: z: unknown option 'bogus' is ignored",
                "x appears twice; the first entry is used",
            ]
        );
        let names: Vec<_> = crypttab.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["x", "z"]);
        assert_eq!(crypttab.entries[0].source, DeviceSpec::Path("/dev/x".into()));
    }

    #[test]
    fn key_scripts_that_only_find_a_key_are_done_here() {
        let key = |line: &str| Crypttab::parse(line).entries.remove(0).key;
        assert_eq!(
            key("x /dev/x /dev/sdb1:/keys/x:30 luks,keyscript=/lib/cryptsetup/scripts/passdev"),
            KeySource::File(Place {
                path: "/keys/x".into(),
                device: Some(DeviceSpec::Path("/dev/sdb1".into()))
            })
        );
        assert_eq!(key("x /dev/x shared luks,keyscript=decrypt_keyctl"), KeySource::Ask);
        assert_eq!(
            key("x /dev/x arg luks,keyscript=my-script"),
            KeySource::Script {
                program: "my-script".into(),
                argument: "arg".into()
            }
        );
    }

    /// A device that stores a key was taken for a random one: no prompt would appear, and a swap area would be
    /// overwritten.
    #[test]
    fn only_random_devices_are_random() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/urandom", &link).expect("a link");
        let link = link.display().to_string();
        for (key, random) in [
            ("/dev/urandom", true),
            ("/dev/random", true),
            ("/dev/hwrng", true),
            (&link, true),
            ("/dev/zero", false),
            ("/dev/null", false),
            ("/dev/tty", false),
            ("/dev/urandom:LABEL=x", false),
        ] {
            let source = KeySource::File(Place::parse(key));
            assert_eq!(source.is_random(), random, "{key}");
        }
    }

    #[test]
    fn an_escaped_comma_separates_no_options() {
        let entry = Crypttab::parse("x /dev/x none luks,keyscript=/a\\054b\\040c\n")
            .entries
            .remove(0);
        assert_eq!(entry.options.keyscript.as_deref(), Some("/a,b c"));
        assert_eq!(entry.fields[3], "luks,keyscript=/a\\054b\\040c");
    }

    #[test]
    fn no_text_makes_it_fail() {
        for text in ["\0", "\\", "a\\04 b", "a b c d e f g", "\u{fffd} \\377\\377", " \t "] {
            let _ = Crypttab::parse(text);
        }
        assert_eq!(unescape("\\377"), "\\377");
        assert_eq!(unescape("\\04"), "\\04");
        assert_eq!(unescape("\\777"), "\\777");
    }

    #[test]
    fn escapes_are_debians() {
        for (field, plain) in [
            ("a\\040b", "a b"),
            ("\\0101\\0102", "AB"),
            ("\\0401", " 1"),
            ("\\101x\\134", "Ax\\"),
            ("\\\\040", "\\ "),
            ("\\048", "\\048"),
        ] {
            assert_eq!(unescape(field), plain, "{field}");
        }
    }
}
