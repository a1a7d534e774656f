//! The options of dmsetup's command line: all of them for every verb, as in dmsetup. A verb ignores options that it does
//! not use.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::error::Failure;
use super::getopt::{self, Spec};
use crate::block_device::DevNo;
use crate::dm::{Mangling, udev};

/// The name of dmsetup's command line under our own name.
pub const OWN_NAME: &str = "luksmith dm";

macro_rules! options {
    ($($id:ident $long:literal $($letters:literal)? $(= $value:literal)?;)*) => {
        /// An option, by its long name.
        #[allow(missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) enum Opt { $($id),* }

        const SPECS: &[Spec<Opt>] = &[$(Spec {
            long: $long,
            letters: letters!($($letters)?),
            value: value!($($value)?),
            id: Opt::$id,
        }),*];
    };
}
macro_rules! letters {
    () => {
        b""
    };
    ($letters:literal) => {
        $letters
    };
}
macro_rules! value {
    () => {
        false
    };
    ($value:literal) => {
        true
    };
}

// In dmsetup's order, which shows where an abbreviation is ambiguous.
options! {
    ReadOnly "readonly" b"r";
    Alias "alias" = "NAME";
    AllDevices "alldevices";
    AllPrograms "allprograms";
    AllRegions "allregions";
    Area "area";
    Areas "areas" = "COUNT";
    AreaSize "areasize" = "SIZE";
    Bounds "bounds" = "BOUNDS";
    Checks "checks";
    Clear "clear";
    Columns "columns" b"cC";
    Concise "concise";
    Count "count" = "COUNT";
    Deferred "deferred";
    Select "select" b"S" = "SELECTION";
    Exec "exec" = "COMMAND";
    FileMap "filemap";
    Follow "follow" = "MODE";
    Force "force" b"f";
    Foreground "foreground";
    Gid "gid" b"G" = "GID";
    Group "group";
    GroupId "groupid" = "ID";
    Help "help" b"h";
    Histogram "histogram";
    Inactive "inactive";
    Interval "interval" = "SECONDS";
    Json "json";
    Length "length" = "LENGTH";
    MangleName "manglename" = "MODE";
    Major "major" b"j" = "MAJOR";
    Minor "minor" b"m" = "MINOR";
    Mode "mode" b"M" = "MODE";
    NamePrefixes "nameprefixes";
    NoGroup "nogroup";
    NoFlush "noflush";
    NoHeadings "noheadings";
    NoLockFs "nolockfs";
    NoOpenCount "noopencount";
    NoSuffix "nosuffix";
    NoTable "notable" b"n";
    NoTimeSuffix "notimesuffix";
    NoMonitor "nomonitor";
    UdevCookie "udevcookie" = "COOKIE";
    NoUdevRules "noudevrules";
    NoUdevSync "noudevsync";
    Options "options" b"o" = "FIELDS";
    Precise "precise";
    ProgramId "programid" = "ID";
    Raw "raw";
    ReadAhead "readahead" = "SECTORS";
    Region "region";
    Regions "regions" = "REGIONS";
    RegionId "regionid" = "ID";
    Relative "relative";
    Retry "retry";
    Rows "rows";
    Segments "segments";
    Separator "separator" = "SEPARATOR";
    SetUuid "setuuid";
    ShowKeys "showkeys";
    Sort "sort" b"O" = "FIELDS";
    Start "start" = "START";
    Table "table" = "TABLE";
    Target "target" = "TYPE";
    Tree "tree";
    Uid "uid" b"U" = "UID";
    Units "units" = "UNITS";
    Uuid "uuid" b"u" = "UUID";
    Unbuffered "unbuffered";
    Unquoted "unquoted";
    UserData "userdata" = "DATA";
    Verbose "verbose" b"v";
    VerifyUdev "verifyudev";
    Version "version";
    Yes "yes" b"y";
    AddNodeOnResume "addnodeonresume";
    AddNodeOnCreate "addnodeoncreate";
}

/// The readahead of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReadAhead {
    /// The kernel's choice.
    #[default]
    Auto,
    /// This many sectors; 0 for none.
    Sectors(u32),
    /// This many sectors, unless the kernel's choice is larger.
    AtLeast(u32),
}

/// The parsed command line: options, and all other words.
#[derive(Debug)]
pub(super) struct Options {
    given: BTreeSet<Opt>,
    values: BTreeMap<Opt, OsString>,
    /// `-j` and `-m`.
    pub(super) number: Option<DevNo>,
    /// `--mode`, in octal.
    pub(super) mode: Option<u32>,
    /// `--uid`.
    pub(super) uid: Option<u32>,
    /// `--gid`.
    pub(super) gid: Option<u32>,
    /// `--readahead`.
    pub(super) read_ahead: ReadAhead,
    /// `--manglename`, or `DM_DEFAULT_NAME_MANGLING_MODE`.
    pub(super) mangling: Mangling,
    /// `--udevcookie`.
    pub(super) cookie: Option<u32>,
}

impl Options {
    /// Parses a command line, and checks the values that dmsetup checks before the verb.
    pub(super) fn parse(argv0: &str, words: &[OsString]) -> Result<(Self, Vec<OsString>), Failure> {
        // The C library's way to let options end with the first other word.
        let permute = env::var_os("POSIXLY_CORRECT").is_none();
        // dmsetup has no such option.
        let specs: Vec<_> = SPECS
            .iter()
            .filter(|spec| spec.id != Opt::Json || argv0 == OWN_NAME)
            .copied()
            .collect();
        let parsed =
            getopt::parse(&specs, words, permute).map_err(|error| Failure::CommandLine(format!("{argv0}: {error}")))?;
        let mut given = BTreeSet::new();
        let mut values = BTreeMap::new();
        for (option, value) in parsed.options {
            given.insert(option);
            if let Some(value) = value {
                values.insert(option, value);
            }
        }
        let mut options = Self {
            given,
            values,
            number: None,
            mode: None,
            uid: None,
            gid: None,
            read_ahead: ReadAhead::Auto,
            mangling: Mangling::default(),
            cookie: None,
        };
        options.check()?;
        if options.has(Opt::Json) && options.has(Opt::Exec) {
            return Err(Failure::CommandLine("Please use one of --json and --exec.".to_owned()));
        }
        Ok((options, parsed.words))
    }

    fn check(&mut self) -> Result<(), Failure> {
        self.mangling = self.mangling_mode()?;
        self.mode = self.checked(Opt::Mode, |text| {
            u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)
        })?;
        self.uid = self.checked(Opt::Uid, |text| text.parse().ok())?;
        self.gid = self.checked(Opt::Gid, |text| text.parse().ok())?;
        self.read_ahead = self.checked(Opt::ReadAhead, read_ahead)?.unwrap_or_default();
        self.cookie = match self.text(Opt::UdevCookie) {
            None => None,
            Some(text) => Some(
                udev::parse_cookie(&text)
                    .filter(|cookie| *cookie != 0)
                    .ok_or_else(|| Failure::CommandLine("Incorrect cookie value.".to_owned()))?,
            ),
        };
        let major = self.checked(Opt::Major, |text| text.parse().ok().filter(|n| *n < 1 << 12))?;
        let minor = self.checked(Opt::Minor, |text| text.parse().ok().filter(|n| *n < 1 << 20))?;
        self.number = match (major, minor) {
            (Some(major), Some(minor)) => Some(DevNo::new(major, minor)),
            (None, None) => None,
            _ => {
                return Err(Failure::CommandLine(
                    "Please specify both major number and minor number.".to_owned(),
                ));
            }
        };
        Ok(())
    }

    fn checked<T>(&self, option: Opt, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(option) else {
            return Ok(None);
        };
        match read(&text) {
            Some(value) => Ok(Some(value)),
            // The trailing blank is dmsetup's.
            None => Err(Failure::CommandLine(format!(
                "Invalid argument for --{}: {text}. ",
                option.name()
            ))),
        }
    }

    fn mangling_mode(&self) -> Result<Mangling, Failure> {
        let unknown = || Failure::CommandLine("Unknown name mangling mode.".to_owned());
        if let Some(typed) = self.text(Opt::MangleName) {
            return Mangling::from_name(&typed).ok_or_else(unknown);
        }
        // dmsetup treats an unknown mode in the environment as the default.
        let environment = env::var("DM_DEFAULT_NAME_MANGLING_MODE").unwrap_or_default();
        Ok(Mangling::from_name(&environment).unwrap_or_default())
    }

    /// Whether an option was given.
    pub(super) fn has(&self, option: Opt) -> bool {
        self.given.contains(&option)
    }

    /// An option's value; the last one if it was given more than once.
    pub(super) fn value(&self, option: Opt) -> Option<&OsStr> {
        self.values.get(&option).map(OsString::as_os_str)
    }

    /// An option's value as bytes.
    pub(super) fn bytes(&self, option: Opt) -> Option<&[u8]> {
        self.value(option).map(OsStr::as_bytes)
    }

    /// An option's value as text.
    pub(super) fn text(&self, option: Opt) -> Option<String> {
        Some(self.value(option)?.to_string_lossy().into_owned())
    }
}

impl Opt {
    pub(super) fn name(self) -> &'static str {
        SPECS.iter().find(|spec| spec.id == self).map_or("", |spec| spec.long)
    }
}

fn read_ahead(text: &str) -> Option<ReadAhead> {
    match text {
        "auto" => Some(ReadAhead::Auto),
        "none" => Some(ReadAhead::Sectors(0)),
        _ => match text.strip_prefix('+') {
            Some(least) => digits(least).map(ReadAhead::AtLeast),
            None => digits(text).map(ReadAhead::Sectors),
        },
    }
}

/// A number without a sign; `parse` alone would take `+1`.
pub(super) fn digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}
