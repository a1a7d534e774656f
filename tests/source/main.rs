//! Dependencies: the rooms of the source against the map in CONTRIBUTING.md, and circles of files that use each other.
//!
//! The map goes from the top floor to the ground. A room may use those below it or in the same row; all its other
//! dependencies have to be in the list of arrows that point up. Code behind `#[cfg(test)]` does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Rooms that must not use each other, wherever they are on the map: the user, and the used one.
const STRANGERS: &[(&str, &str)] = &[
    ("dmsetup", "cryptsetup"),
    ("dmsetup", "boot"),
    ("dmsetup", "volume"),
    ("cryptsetup", "dmsetup"),
    ("boot", "cryptsetup"),
];

/// The number of files that may use each other, since they are read together.
const SMALL: usize = 3;

/// The modules of a crate: each with its source, and the origins of names that it only re-exports.
struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
}

#[derive(Default)]
struct Module {
    source: String,
    /// The full path behind each name that a `pub use` re-exports.
    handed_on: BTreeMap<String, Vec<String>>,
    /// The full path of everything that is used.
    used: BTreeSet<Vec<String>>,
}

impl Crate {
    fn read(src: &Path) -> Self {
        let mut modules = BTreeMap::new();
        for file in files(src) {
            let relative = file.strip_prefix(src).expect("it lies there").with_extension("");
            let mut path: Vec<String> = relative
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
                path.pop();
            }
            if path.iter().any(|part| part == "tests" || part == "main") {
                continue;
            }
            let source = without_comments(&fs::read_to_string(&file).expect("a source file"));
            let module = Module {
                source,
                ..Module::default()
            };
            modules.insert(path, module);
        }
        let mut read = Self { modules };
        let paths: Vec<_> = read.modules.keys().cloned().collect();
        for path in paths {
            let (used, handed_on) = read.uses(&path);
            let module = read.modules.get_mut(&path).expect("it is one of them");
            (module.used, module.handed_on) = (used, handed_on);
        }
        read
    }

    fn uses(&self, path: &[String]) -> (BTreeSet<Vec<String>>, BTreeMap<String, Vec<String>>) {
        let source = &self.modules[path].source;
        let (mut used, mut handed_on, mut here) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        for (is_public, statement) in use_statements(source) {
            for (name, words) in leaves(statement) {
                let Some(full) = self.absolute(path, &words) else {
                    continue;
                };
                if is_public {
                    handed_on.insert(name.clone(), full.clone());
                } else {
                    used.insert(full.clone());
                }
                here.insert(name, full);
            }
        }
        for words in inline_paths(source) {
            let full = match here.get(&words[0]) {
                Some(start) => Some([start, &words[1..]].concat()),
                None => self.absolute(path, &words),
            };
            used.extend(full);
        }
        (used, handed_on)
    }

    /// The full path that `words` names in the module `path`; `None` for another crate's.
    fn absolute(&self, path: &[String], words: &[String]) -> Option<Vec<String>> {
        let mut full = path.to_vec();
        let mut words = words.iter().peekable();
        match words.peek()?.as_str() {
            "crate" => full.clear(),
            "self" => {}
            "super" => {
                while words.next_if(|word| *word == "super").is_some() {
                    full.pop();
                }
            }
            child => {
                full.push(child.to_owned());
                if !self.modules.contains_key(&full) {
                    return None;
                }
                full.pop();
            }
        }
        full.extend(words.filter(|word| !matches!(word.as_str(), "crate" | "self")).cloned());
        Some(full)
    }

    /// The module that defines a full path: past those that only re-export it.
    fn holder(&self, full: &[String]) -> Option<Vec<String>> {
        let mut full = full.to_vec();
        for _ in 0..8 {
            let length = (0..=full.len())
                .rev()
                .find(|length| self.modules.contains_key(&full[..*length]))?;
            let next = full
                .get(length)
                .and_then(|name| self.modules[&full[..length]].handed_on.get(name));
            match next {
                Some(next) if *next != full => full = next.clone(),
                _ => return Some(full[..length].to_vec()),
            }
        }
        None
    }

    /// The files that each file uses.
    fn arrows(&self) -> BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> {
        let to = |path: &Vec<String>, module: &Module| {
            let holders = module.used.iter().filter_map(|full| self.holder(full));
            holders.filter(|holder| holder != path && !holder.is_empty()).collect()
        };
        self.modules
            .iter()
            .map(|(path, module)| (path, to(path, module)))
            .collect()
    }

    /// Files each of which leads to each of the others; only where there are more than [`SMALL`].
    fn circles(&self) -> Vec<Vec<String>> {
        let arrows = self.arrows();
        let reach = |from: &Vec<String>| {
            let (mut seen, mut left) = (BTreeSet::new(), vec![from.clone()]);
            while let Some(path) = left.pop() {
                for next in arrows.get(&path).into_iter().flatten() {
                    if seen.insert(next.clone()) {
                        left.push(next.clone());
                    }
                }
            }
            seen
        };
        let reached: BTreeMap<_, _> = arrows.keys().map(|path| (*path, reach(path))).collect();
        let mut done = BTreeSet::new();
        let mut circles = Vec::new();
        for (path, seen) in &reached {
            if !seen.contains(*path) || done.contains(*path) {
                continue;
            }
            let circle: Vec<_> = seen.iter().filter(|other| reached[other].contains(*path)).collect();
            done.extend(circle.iter().copied());
            if circle.len() > SMALL {
                circles.push(circle.iter().map(|path| path.join("::")).collect());
            }
        }
        circles
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// The source up to its tests, with neither comments nor the insides of strings that look like paths.
fn without_comments(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = source.lines().map(|line| match line.find("//") {
        Some(at) if !line[..at].contains('"') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Each `use` up to its semicolon, and whether it re-exports.
fn use_statements(source: &str) -> Vec<(bool, &str)> {
    let mut found = Vec::new();
    let mut offset = 0;
    for line in source.split_inclusive('\n') {
        let text = line.trim_start();
        let at = match text {
            _ if text.starts_with("use ") => Some((false, 4)),
            _ if text.starts_with("pub") => text
                .find(" use ")
                .filter(|at| !text[..*at].contains(['{', '=']))
                .map(|at| (true, at + 5)),
            _ => None,
        };
        if let Some((is_public, at)) = at {
            let start = offset + (line.len() - text.len()) + at;
            let end = source[start..].find(';').map_or(source.len(), |end| start + end);
            found.push((is_public, &source[start..end]));
        }
        offset += line.len();
    }
    found
}

/// The paths of a `use`, each with the name it has here.
fn leaves(tree: &str) -> Vec<(String, Vec<String>)> {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let start: Vec<String> = words(&tree[..open]);
        let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
        let mut depth = 0;
        let parts = inside.split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        let parts: Vec<_> = parts.filter(|part| !part.trim().is_empty()).collect();
        let inner = parts.into_iter().flat_map(leaves);
        return inner
            .map(|(name, rest)| {
                let name = if name == "self" {
                    start.last().cloned().unwrap_or_default()
                } else {
                    name
                };
                (name, [&start[..], &rest].concat())
            })
            .collect();
    }
    let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
    let path = words(path);
    let own = path.last().cloned().unwrap_or_default();
    let name = if name.is_empty() { own } else { name.trim().to_owned() };
    vec![(name, path)]
}

fn words(path: &str) -> Vec<String> {
    let words = path.split("::").map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// Paths in the middle of code: `a::b::c`.
fn inline_paths(source: &str) -> Vec<Vec<String>> {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    // The scope of a visibility is not a use.
    let source = source.replace("(in crate::", "(").replace("(in super::super)", "()");
    let pieces = source.split(|c| !is_path(c)).filter(|piece| piece.contains("::"));
    pieces.map(words).filter(|words| words.len() > 1).collect()
}

/// The rows of the map, each with the rooms of `src` that it names; and the arrows that still point up.
fn map() -> (Vec<Vec<String>>, BTreeSet<(String, String)>) {
    let text = fs::read_to_string(format!("{ROOT}/CONTRIBUTING.md")).expect("CONTRIBUTING.md");
    let rows = text.lines().filter(|line| line.starts_with("| `src/"));
    let rows = rows
        .map(|row| {
            let names = row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2);
            let room = |name: &str| {
                name.trim_start_matches("src/")
                    .trim_end_matches('/')
                    .trim_end_matches(".rs")
                    .to_owned()
            };
            names.map(room).collect()
        })
        .collect();
    let up = text
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split_once("` → `"));
    let up = up.filter_map(|(from, to)| Some((from.to_owned(), to.split_once('`')?.0.to_owned())));
    (rows, up.collect())
}

#[test]
fn no_arrow_points_up_but_those_that_the_map_names() {
    let (rows, known) = map();
    let floor = |room: &str| rows.iter().position(|row| row.iter().any(|name| name == room));
    let source = Crate::read(Path::new(&format!("{ROOT}/src")));
    let mut up: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (path, targets) in source.arrows() {
        let Some(from) = path.first() else { continue };
        for to in targets.iter().map(|target| &target[0]).filter(|to| *to != from) {
            let is_up = floor(to) < floor(from);
            let is_strange = STRANGERS.contains(&(from, to));
            if is_up || is_strange {
                up.entry((from.clone(), to.clone()))
                    .or_default()
                    .insert(path.join("::"));
            }
        }
    }
    println!("arrows that point up: {up:#?}");
    let new: Vec<_> = up.iter().filter(|(arrow, _)| !known.contains(*arrow)).collect();
    assert!(
        new.is_empty(),
        "arrows that point up, and CONTRIBUTING.md does not name: {new:#?}"
    );
    let gone: Vec<_> = known.iter().filter(|arrow| !up.contains_key(*arrow)).collect();
    assert!(
        gone.is_empty(),
        "arrows that CONTRIBUTING.md names, and are gone: {gone:?}"
    );
}

#[test]
fn the_map_names_every_room() {
    let (rows, _) = map();
    let named: BTreeSet<_> = rows.iter().flatten().cloned().collect();
    let rooms: BTreeSet<_> = fs::read_dir(format!("{ROOT}/src"))
        .expect("src")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|room| room != "lib")
        .collect();
    assert_eq!(named, rooms, "the map in CONTRIBUTING.md, and src/");
}

#[test]
fn no_more_than_three_files_use_each_other() {
    let mut found = Vec::new();
    for (name, src) in [("src", "src"), ("keyslots", "keyslots/src")] {
        for circle in Crate::read(Path::new(&format!("{ROOT}/{src}"))).circles() {
            found.push((name, circle));
        }
    }
    println!("circles: {}", found.len());
    for (name, circle) in found {
        println!("{name}, {}: {}", circle.len(), circle.join(" "));
        assert!(
            circle.len() <= SMALL,
            "{} files of {name} use each other: {}",
            circle.len(),
            circle.join(" ")
        );
    }
}
