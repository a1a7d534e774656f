//! Several paths to one device: multipath, with its path selectors.

use super::record::record;
use super::words::Words;
use crate::dm::table::DeviceRef;

record!(Multipath {
    features: Vec<String>,
    hardware_handler: Vec<String>,
    initial_group: u64,
    groups: Vec<PathGroup>,
});

record!(PathGroup {
    selector: String,
    selector_arguments: Vec<String>,
    paths: Vec<Path>,
});

record!(Path {
    device: DeviceRef,
    arguments: Vec<String>,
});

record!(MultipathState {
    features: Vec<String>,
    hardware_handler: Vec<String>,
    next_group: u64,
    groups: Vec<GroupState>,
});

record!(GroupState {
    state: String,
    /// From the table.
    selector: Option<String>,
    selector_status: Vec<String>,
    paths: Vec<PathState>,
});

record!(PathState {
    device: DeviceRef,
    failed: bool,
    failure_count: u64,
    /// Of the selector `queue-length`.
    in_flight_ios: Option<u64>,
    /// Of the selector `service-time`.
    in_flight_bytes: Option<u64>,
    relative_throughput: Option<u64>,
    /// Of any other selector.
    selector_status: Vec<String>,
});

impl Multipath {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let features = words.list()?;
        let hardware_handler = words.list()?;
        let count = words.number()?;
        Some(Self {
            features,
            hardware_handler,
            initial_group: words.number()?,
            groups: words.times(count, PathGroup::read)?,
        })
    }
}

impl PathGroup {
    fn read(words: &mut Words<'_>) -> Option<Self> {
        let selector = words.text()?;
        let selector_arguments = words.list()?;
        let (count, arguments): (u64, u64) = (words.number()?, words.number()?);
        let path = |words: &mut Words<'_>| {
            Some(Path {
                device: words.device()?,
                arguments: words.times(arguments, Words::text)?,
            })
        };
        Some(Self {
            selector,
            selector_arguments,
            paths: words.times(count, path)?,
        })
    }
}

impl MultipathState {
    pub(super) fn read(words: &mut Words<'_>, table: Option<&Multipath>) -> Option<Self> {
        let features = words.list()?;
        let hardware_handler = words.list()?;
        let count: u64 = words.number()?;
        let next_group = words.number()?;
        let mut groups = Vec::new();
        for _ in 0..count {
            let group = table.and_then(|table| table.groups.get(groups.len()));
            groups.push(GroupState::read(words, group.map(|group| group.selector.as_str()))?);
        }
        Some(Self {
            features,
            hardware_handler,
            next_group,
            groups,
        })
    }
}

impl GroupState {
    fn read(words: &mut Words<'_>, selector: Option<&str>) -> Option<Self> {
        let state = match words.word()? {
            "A" => "active".into(),
            "E" => "enabled".into(),
            "D" => "disabled".into(),
            other => other.to_owned(),
        };
        let selector_status = words.list()?;
        let (count, arguments): (u64, u64) = (words.number()?, words.number()?);
        Some(Self {
            state,
            selector: selector.map(str::to_owned),
            selector_status,
            paths: words.times(count, |words| PathState::read(words, arguments, selector))?,
        })
    }
}

impl PathState {
    fn read(words: &mut Words<'_>, arguments: u64, selector: Option<&str>) -> Option<Self> {
        let mut path = Self {
            device: words.device()?,
            failed: words.maybe(|word| match word {
                "A" => Some(false),
                "F" => Some(true),
                _ => None,
            })?,
            failure_count: words.number()?,
            in_flight_ios: None,
            in_flight_bytes: None,
            relative_throughput: None,
            selector_status: Vec::new(),
        };
        match (selector, arguments) {
            (Some("queue-length"), 1) => path.in_flight_ios = Some(words.number()?),
            (Some("service-time"), 2) => {
                path.in_flight_bytes = Some(words.number()?);
                path.relative_throughput = Some(words.number()?);
            }
            _ => path.selector_status = words.times(arguments, Words::text)?,
        }
        Some(path)
    }
}
