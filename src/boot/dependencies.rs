//! The dependencies between entries: a mapping that one entry makes may hold the device, the header or the key of
//! another, and a key script may use all entries before it, since Debian's crypttab(5) is read in its order.

use std::path::Path;

use super::crypttab::{Entry, KeySource};
use super::options::Kind;
use super::source::{DeviceSpec, Place};

/// The dependencies of a list of entries, by their indices.
#[derive(Debug)]
pub struct Dependencies {
    names: Vec<String>,
    needs: Vec<Vec<usize>>,
    /// Of these, those that hold only the key.
    keys: Vec<Vec<usize>>,
    /// Entries with a key that is not waited for, since they need the entry itself.
    circular: Vec<Vec<usize>>,
    turns: Vec<Vec<usize>>,
}

/// The most steps of a circle that are reported.
const TOLD_STEPS: usize = 16;

impl Dependencies {
    /// Those of these entries.
    pub fn of(entries: &[Entry]) -> Self {
        let index = |name: String| entries.iter().position(|entry| entry.name == name);
        let indices = |names: Vec<String>| names.into_iter().filter_map(index).collect::<Vec<usize>>();
        let firm = |entry| indices(of_devices(entry));
        let of_key = |entry| {
            let mut keys = indices(of_key(entry));
            keys.retain(|at| !firm(entry).contains(at));
            keys
        };
        let none = vec![Vec::new(); entries.len()];
        let mut dependencies = Self {
            names: entries.iter().map(|entry| entry.name.clone()).collect(),
            needs: entries
                .iter()
                .map(|entry| [firm(entry), of_key(entry)].concat())
                .collect(),
            keys: entries.iter().map(of_key).collect(),
            circular: none.clone(),
            turns: none,
        };
        let is_script = |at: &usize| matches!(entries[*at].key, KeySource::Script { .. });
        let mut scripts: Vec<usize> = (0..entries.len()).filter(is_script).collect();
        scripts.sort_by_key(|at| entries[*at].position);
        let mut needed_by = dependencies.needed_by();
        for at in scripts {
            // An entry that needs this one cannot come before it, whatever the order.
            let dependents = reachable(&needed_by, at);
            let earlier = |other: &usize| entries[*other].position < entries[at].position && !dependents[*other];
            dependencies.turns[at] = (0..entries.len()).filter(earlier).collect();
            dependencies.turns[at]
                .iter()
                .for_each(|before| needed_by[*before].push(at));
        }
        dependencies
    }

    /// The entries without whose mappings this one cannot be unlocked.
    pub fn needs(&self, at: usize) -> &[usize] {
        &self.needs[at]
    }

    /// Of these, those that hold its device or its header, for which there is no substitute.
    pub fn needs_firmly(&self, at: usize) -> impl Iterator<Item = usize> {
        let is_firm = move |needed: &usize| !self.keys[at].contains(needed);
        self.needs[at].iter().copied().filter(is_firm)
    }

    /// The entries that its key is on and that need it themselves.
    pub fn circular(&self, at: usize) -> &[usize] {
        &self.circular[at]
    }

    /// If entries need each other, a passphrase replaces a key: keys in circles are not waited for if a person may be
    /// prompted, and those of scripts only if that is not enough. A finished entry needs nothing any more.
    pub fn ask_in_circles(&mut self, entries: &[&Entry], is_done: impl Fn(usize) -> bool) {
        for at in (0..self.needs.len()).filter(|at| is_done(*at)) {
            self.needs[at].clear();
            self.keys[at].clear();
        }
        for scripts in [false, true] {
            let may_ask = |at: &usize| {
                let entry = entries[*at];
                let is_script = matches!(entry.key, KeySource::Script { .. });
                is_script == scripts && !entry.options.headless && entry.options.kind != Some(Kind::Plain)
            };
            let asking = (0..self.needs.len()).filter(may_ask);
            let keys = asking.flat_map(|at| self.keys[at].iter().map(move |key| (at, *key)));
            let circular: Vec<_> = keys.filter(|(at, key)| self.leads_to(*key, *at)).collect();
            for (at, key) in circular {
                self.needs[at].retain(|needed| *needed != key);
                self.keys[at].retain(|needed| *needed != key);
                self.circular[at].push(key);
            }
        }
    }

    /// Whether an entry is another one, or needs it, directly or not.
    fn leads_to(&self, from: usize, to: usize) -> bool {
        reachable(&self.needs, from)[to]
    }

    /// The reverse of the needs.
    fn needed_by(&self) -> Vec<Vec<usize>> {
        let mut needed_by = vec![Vec::new(); self.needs.len()];
        for (at, needs) in self.needs.iter().enumerate() {
            needs.iter().for_each(|needed| needed_by[*needed].push(at));
        }
        needed_by
    }

    /// The entries that come before this one, which has a key script.
    pub fn turns_before(&self, at: usize) -> &[usize] {
        &self.turns[at]
    }

    /// The circle that an entry is in, in words: `a needs b, b needs a`.
    pub fn circle(&self, at: usize) -> Option<String> {
        // Backwards from the entry, over all that needs it, until that is the entry itself.
        let needed_by = self.needed_by();
        let mut next_step: Vec<Option<usize>> = vec![None; self.needs.len()];
        let mut found = vec![at];
        let mut next = 0;
        while let Some(&needed) = found.get(next) {
            next += 1;
            for &other in &needed_by[needed] {
                if next_step[other].is_none() {
                    next_step[other] = Some(needed);
                    found.push(other);
                }
            }
        }
        let (mut steps, mut from) = (Vec::new(), at);
        loop {
            let needed = next_step[from]?;
            steps.push(format!("{} needs {}", self.names[from], self.names[needed]));
            from = needed;
            if from == at || steps.len() == TOLD_STEPS {
                let more = if from == at { "" } else { ", and so on" };
                return Some(steps.join(", ") + more);
            }
        }
    }
}

/// All entries that the steps lead to from one entry, itself included.
fn reachable(steps: &[Vec<usize>], from: usize) -> Vec<bool> {
    let mut seen = vec![false; steps.len()];
    let mut found = vec![from];
    while let Some(at) = found.pop() {
        if !std::mem::replace(&mut seen[at], true) {
            found.extend(&steps[at]);
        }
    }
    seen
}

/// The names of the mappings that an entry names.
pub fn mappings(entry: &Entry) -> Vec<String> {
    [of_devices(entry), of_key(entry)].concat()
}

/// Those of its device and of its header.
fn of_devices(entry: &Entry) -> Vec<String> {
    let header = entry.options.header.as_ref().map(device_of);
    let devices = [Some(entry.source.clone()), header];
    devices.into_iter().flatten().filter_map(mapping).collect()
}

/// Those that its key is on.
fn of_key(entry: &Entry) -> Vec<String> {
    let name = match &entry.key {
        KeySource::File(place) => mapping(device_of(place)),
        KeySource::Raw(device) => mapping(device.clone()),
        KeySource::Script { program, argument } => {
            let is_derived = program.rsplit('/').next() == Some("decrypt_derived");
            let name = argument.strip_prefix("/dev/mapper/");
            name.or(is_derived.then_some(argument)).map(str::to_owned)
        }
        KeySource::Ask | KeySource::Search(_) => None,
    };
    name.into_iter().collect()
}

fn device_of(place: &Place) -> DeviceSpec {
    match &place.device {
        Some(device) => device.clone(),
        None => DeviceSpec::Path(place.path.clone()),
    }
}

fn mapping(device: DeviceSpec) -> Option<String> {
    let DeviceSpec::Path(path) = device else { return None };
    let name = path.strip_prefix(Path::new("/dev/mapper")).ok()?;
    Some(name.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::cmdline::plan;
    use crate::boot::crypttab::Crypttab;

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
    fn a_script_comes_after_earlier_entries_unless_they_need_it() {
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

    #[test]
    fn many_entries_cost_little_and_a_long_circle_is_told_in_short() {
        let start = std::time::Instant::now();
        let circle: String = (0..1000)
            .map(|at| format!("v{at} /dev/mapper/v{} none luks\n", (at + 1) % 1000))
            .collect();
        let (_, dependencies) = of(&circle);
        for at in 0..1000 {
            let told = dependencies.circle(at).expect("a circle");
            assert!(told.ends_with(", and so on") && told.len() < 500, "{told}");
        }
        let scripts: String = (0..500)
            .map(|at| format!("v{at} /dev/x x luks,keyscript=any\n"))
            .collect();
        assert_eq!(of(&scripts).1.turns_before(499).len(), 499);
        assert!(start.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn a_passphrase_does_instead_of_a_key_that_is_in_a_circle() {
        let of = |text: &str, done: &[&str]| {
            let (entries, mut dependencies) = of(text);
            let entries: Vec<&Entry> = entries.iter().collect();
            dependencies.ask_in_circles(&entries, |at| done.contains(&entries[at].name.as_str()));
            let names = |all: &[usize]| all.iter().map(|at| entries[*at].name.clone()).collect::<Vec<_>>();
            let is_impossible = (0..entries.len()).any(|at| dependencies.circle(at).is_some());
            let circular: Vec<_> = (0..entries.len())
                .map(|at| names(dependencies.circular(at)).join(" "))
                .collect();
            (is_impossible, circular.join(","))
        };
        let each_others = "a /dev/x /k:/dev/mapper/b luks\nb /dev/y /k:/dev/mapper/a luks\n";
        assert_eq!(of(each_others, &[]), (false, "b,a".into()));
        assert_eq!(of(each_others, &["a"]), (false, ",".into()));
        // An entry without a prompt waits for the other one.
        let headless = each_others.replacen("luks", "luks,headless", 1);
        assert_eq!(of(&headless, &[]), (false, ",a".into()));
        assert!(of(&headless.replace("a luks", "a luks,headless"), &[]).0);
        let on_itself = "a /dev/x /k:/dev/mapper/a luks\n";
        assert_eq!(of(on_itself, &[]), (false, "a".into()));
        let device = "a /dev/x /k:/dev/mapper/b luks\nb /dev/mapper/a none luks\n";
        assert_eq!(of(device, &[]), (false, "b,".into()));
        let script = "a /dev/x /k:/dev/mapper/b luks\nb /dev/y a luks,keyscript=decrypt_derived\n";
        assert_eq!(of(script, &[]), (false, "b,".into()));
        let devices = "a /dev/mapper/b none luks\nb /dev/y none luks,header=/h:/dev/mapper/a\n";
        assert!(of(devices, &[]).0 && !of(devices, &["b"]).0);
    }
}
