//! Which entries need which others: a mapping that one entry makes may hold the device, the header or the key of another,
//! and a key script may use whatever stands before it, since Debian's crypttab(5) is read in its order.

use std::path::Path;

use super::crypttab::{Entry, KeySource};
use super::source::{DeviceSpec, Place};

/// The dependencies of a list of entries, by their indices.
#[derive(Debug)]
pub struct Dependencies {
    names: Vec<String>,
    needs: Vec<Vec<usize>>,
    turns: Vec<Vec<usize>>,
}

impl Dependencies {
    /// Those of these entries.
    pub fn of(entries: &[Entry]) -> Self {
        let index = |name: String| entries.iter().position(|entry| entry.name == name);
        let needs: Vec<Vec<usize>> = entries
            .iter()
            .map(|entry| mappings(entry).into_iter().filter_map(index).collect())
            .collect();
        let mut dependencies = Self {
            names: entries.iter().map(|entry| entry.name.clone()).collect(),
            turns: vec![Vec::new(); needs.len()],
            needs,
        };
        let is_script = |at: &usize| matches!(entries[*at].key, KeySource::Script { .. });
        let mut scripts: Vec<usize> = (0..entries.len()).filter(is_script).collect();
        scripts.sort_by_key(|at| entries[*at].position);
        for at in scripts {
            // What needs this entry cannot come before it, wherever it stands.
            let dependents = dependencies.dependents(at);
            let earlier = |other: &usize| entries[*other].position < entries[at].position && !dependents[*other];
            dependencies.turns[at] = (0..entries.len()).filter(earlier).collect();
        }
        dependencies
    }

    /// The entries without whose mappings this one cannot be unlocked.
    pub fn needs(&self, at: usize) -> &[usize] {
        &self.needs[at]
    }

    /// The entries whose turn comes before that of this one, which has a key script.
    pub fn turns_before(&self, at: usize) -> &[usize] {
        &self.turns[at]
    }

    /// The circle that an entry is in, in words: `a needs b, b needs a`.
    pub fn circle(&self, at: usize) -> Option<String> {
        // Backwards from the entry, over all that needs it, until that is the entry itself.
        let mut needed_by: Vec<Option<usize>> = vec![None; self.needs.len()];
        let mut found = vec![at];
        let mut next = 0;
        while let Some(&needed) = found.get(next) {
            next += 1;
            for other in (0..self.needs.len()).filter(|other| self.needs[*other].contains(&needed)) {
                if needed_by[other].is_none() {
                    needed_by[other] = Some(needed);
                    found.push(other);
                }
            }
        }
        let (mut steps, mut from) = (Vec::new(), at);
        loop {
            let needed = needed_by[from]?;
            steps.push(format!("{} needs {}", self.names[from], self.names[needed]));
            from = needed;
            if from == at {
                return Some(steps.join(", "));
            }
        }
    }

    /// Which entries wait for this one, directly or not.
    fn dependents(&self, at: usize) -> Vec<bool> {
        let mut waits = vec![false; self.needs.len()];
        let mut found = vec![at];
        while let Some(needed) = found.pop() {
            for (other, waits) in waits.iter_mut().enumerate() {
                let depends = self.needs[other].contains(&needed) || self.turns[other].contains(&needed);
                if depends && !*waits {
                    *waits = true;
                    found.push(other);
                }
            }
        }
        waits
    }
}

/// The names of the mappings that an entry names.
pub fn mappings(entry: &Entry) -> Vec<String> {
    let mut names: Vec<String> = devices(entry).into_iter().filter_map(mapping).collect();
    if let KeySource::Script { program, argument } = &entry.key {
        let is_derived = program.rsplit('/').next() == Some("decrypt_derived");
        let name = argument.strip_prefix("/dev/mapper/");
        names.extend(name.or(is_derived.then_some(argument)).map(str::to_owned));
    }
    names
}

/// The devices that an entry names: its own, those of its header and of its key.
fn devices(entry: &Entry) -> Vec<DeviceSpec> {
    let of_place = |place: &Place| match &place.device {
        Some(device) => device.clone(),
        None => DeviceSpec::Path(place.path.clone()),
    };
    let mut devices = vec![entry.source.clone()];
    devices.extend(entry.options.header.as_ref().map(of_place));
    match &entry.key {
        KeySource::File(place) => devices.push(of_place(place)),
        KeySource::Raw(device) => devices.push(device.clone()),
        KeySource::Ask | KeySource::Search(_) | KeySource::Script { .. } => {}
    }
    devices
}

fn mapping(device: DeviceSpec) -> Option<String> {
    let DeviceSpec::Path(path) = device else { return None };
    let name = path.strip_prefix(Path::new("/dev/mapper")).ok()?;
    Some(name.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::cmdline::plan;
    use crate::initramfs::crypttab::Crypttab;

    fn of(text: &str) -> (Vec<Entry>, Dependencies) {
        let entries = plan(Crypttab::parse(text), "resume=/dev/mapper/swap").entries;
        let dependencies = Dependencies::of(&entries);
        (entries, dependencies)
    }

    #[test]
    fn devices_headers_keys_and_scripts_name_what_they_need() {
        let (entries, dependencies) = of("root UUID=ab /k:/dev/mapper/keys luks\nkeys /dev/x none luks\n\
             inner /dev/mapper/root none luks,header=/h:/dev/mapper/keys\n\
             raw /dev/y /dev/mapper/keys plain\nswap /dev/z root keyscript=decrypt_derived,swap\n");
        let at = |name: &str| entries.iter().position(|entry| entry.name == name).expect("an entry");
        // The device to resume from comes first, and waits.
        assert_eq!(at("swap"), 0);
        assert_eq!(dependencies.needs(at("swap")), [at("root")]);
        assert_eq!(dependencies.needs(at("root")), [at("keys")]);
        assert_eq!(dependencies.needs(at("inner")), [at("root"), at("keys")]);
        assert_eq!(dependencies.needs(at("raw")), [at("keys")]);
        assert!(dependencies.needs(at("keys")).is_empty());
        assert!((0..entries.len()).all(|at| dependencies.circle(at).is_none()));
    }

    #[test]
    fn a_script_comes_after_what_stands_before_it_unless_that_needs_it() {
        let (entries, dependencies) = of("needy /dev/mapper/swap none luks\nroot /dev/x none luks\n\
             swap /dev/z x keyscript=any,swap\nlast /dev/y x keyscript=any,luks\n");
        let at = |name: &str| entries.iter().position(|entry| entry.name == name).expect("an entry");
        assert_eq!(dependencies.turns_before(at("swap")), [at("root")]);
        assert_eq!(dependencies.turns_before(at("last")).len(), 3);
        assert!(dependencies.turns_before(at("root")).is_empty());
    }

    #[test]
    fn circles_are_told() {
        let (_, dependencies) = of(
            "a /dev/mapper/b none luks\nb /dev/x /k:/dev/mapper/c luks\nc /dev/mapper/a none luks\n\
             d /dev/mapper/c none luks\ne /dev/mapper/e none luks\n",
        );
        assert_eq!(
            dependencies.circle(0).as_deref(),
            Some("a needs b, b needs c, c needs a")
        );
        assert_eq!(dependencies.circle(3), None);
        assert_eq!(dependencies.circle(4).as_deref(), Some("e needs e"));
    }
}
