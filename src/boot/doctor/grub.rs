//! The entries of GRUB's configuration, as far as generators write them: `menuentry`, `submenu`, `linux`, `initrd`, and the
//! default. No condition is evaluated.

use std::path::Path;

use super::below::text_of;

/// The nesting limit of menus.
const DEEPEST: usize = 32;

/// An entry, or a menu of entries.
#[derive(Debug, Default)]
struct Item {
    title: String,
    id: String,
    linux: Option<String>,
    arguments: String,
    initrds: Vec<String>,
    items: Vec<Item>,
}

/// The files and arguments of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) title: String,
    pub(super) arguments: String,
    pub(super) initrds: Vec<String>,
}

/// The default of a configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Starts {
    /// The entry that starts by itself.
    Default(Start),
    /// One of these: it is unknown which.
    AnyOf(Vec<Start>),
    /// The entries in `loader/entries`, the newest or the one of this name.
    LoaderEntries(Option<String>),
}

/// Reads the configuration in a folder, with GRUB's environment beside it.
pub(super) fn read(root: &Path, folder: &Path) -> Option<Starts> {
    let text = text_of(root, &folder.join("grub.cfg"))?;
    let environment = text_of(root, &folder.join("grubenv")).unwrap_or_default();
    let saved = |name: &str| {
        let value = environment
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let chosen = saved("next_entry").unwrap_or_else(|| match default(&text) {
        Some(value) if value.contains("saved_entry") => saved("saved_entry").unwrap_or_else(|| "0".into()),
        Some(value) => value,
        None => "0".into(),
    });
    if text
        .lines()
        .any(|line| line.split_whitespace().next() == Some("blscfg"))
    {
        // A number, or nothing, means the newest.
        return Some(Starts::LoaderEntries(
            saved("saved_entry").filter(|name| name.parse::<u32>().is_err()),
        ));
    }
    let items = parse(&text);
    if let Some(item) = select(&items, &chosen) {
        return Some(Starts::Default(item.start()));
    }
    let mut all = Vec::new();
    flatten(&items, &mut all);
    Some(Starts::AnyOf(all))
}

/// The value of `set default=`, except one for the next start alone.
fn default(text: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("set default="));
    let mut values = lines.map(|value| value.trim_matches(['"', '\'']).to_owned());
    values.rfind(|value| !value.contains("next_entry"))
}

fn parse(text: &str) -> Vec<Item> {
    // The contents of any other brace belong to the enclosing block.
    let mut open: Vec<Item> = vec![Item::default()];
    let mut braces: Vec<bool> = Vec::new();
    for line in text.lines() {
        let words = words(line);
        let Some((first, rest)) = words.split_first() else {
            continue;
        };
        let is_item = matches!(first.as_str(), "menuentry" | "submenu");
        if is_item {
            let id = rest
                .iter()
                .position(|word| matches!(word.as_str(), "--id" | "$menuentry_id_option"));
            open.push(Item {
                title: rest.first().cloned().unwrap_or_default(),
                id: id.and_then(|at| rest.get(at + 1)).cloned().unwrap_or_default(),
                ..Item::default()
            });
        }
        if words.last().is_some_and(|word| word == "{") {
            braces.push(is_item);
        } else if first == "}" && braces.pop() == Some(true) {
            close(&mut open);
        }
        let Some(item) = open.last_mut() else { break };
        match first.as_str() {
            "linux" | "linux16" | "linuxefi" => {
                item.linux = rest.first().cloned();
                item.arguments = rest.get(1..).unwrap_or_default().join(" ");
            }
            "initrd" | "initrd16" | "initrdefi" => item.initrds.extend(rest.iter().cloned()),
            _ => {}
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().unwrap_or_default().items
}

/// Closes the innermost item, unless it is nested deeper than any real menu.
fn close(open: &mut Vec<Item>) {
    if let Some(item) = open.pop().filter(|_| !open.is_empty())
        && open.len() <= DEEPEST
        && let Some(outer) = open.last_mut()
    {
        outer.items.push(item);
    }
}

/// The words of a line, with quotes and backslashes removed.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut escaped) = (Vec::new(), None::<String>, None, false);
    for letter in line.chars() {
        match letter {
            _ if escaped => {
                word.get_or_insert_default().push(letter);
                escaped = false;
            }
            '\\' if quote != Some('\'') => escaped = true,
            '"' | '\'' if quote.is_none() || quote == Some(letter) => {
                quote = if quote.is_none() { Some(letter) } else { None };
                word.get_or_insert_default();
            }
            '#' if quote.is_none() && word.is_none() => break,
            blank if blank.is_whitespace() && quote.is_none() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// The entry that `1>2`, a title or an ID selects; of a menu, its first.
fn select<'a>(items: &'a [Item], chosen: &str) -> Option<&'a Item> {
    let by = |name: &str| items.iter().find(|item| item.title == name || item.id == name);
    // A title may contain the sign.
    if let Some(item) = by(chosen) {
        return item.first();
    }
    let (name, rest) = match chosen.split_once('>') {
        Some((name, rest)) => (name, Some(rest)),
        None => (chosen, None),
    };
    let item = by(name).or_else(|| items.get(name.parse::<usize>().ok()?))?;
    match rest {
        Some(rest) => select(&item.items, rest),
        None => item.first(),
    }
}

impl Item {
    fn first(&self) -> Option<&Self> {
        let mut item = self;
        while item.linux.is_none() {
            item = item.items.first()?;
        }
        Some(item)
    }

    fn start(&self) -> Start {
        Start {
            title: self.title.clone(),
            arguments: self.arguments.clone(),
            initrds: self.initrds.clone(),
        }
    }
}

fn flatten(items: &[Item], all: &mut Vec<Start>) {
    for item in items {
        all.extend(item.linux.is_some().then(|| item.start()));
        flatten(&item.items, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const CFG: &str = r#"
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="DEFAULT"
fi
function load_video {
  insmod all_video
}
menuentry 'Debian' --class debian $menuentry_id_option 'gnulinux-simple' {
	if [ x = y ]; then
	  insmod lvm
	fi
	linux	/vmlinuz-2 root=/dev/mapper/root ro  quiet
	initrd	/microcode.cpio /initrd.img-2
}
submenu 'Advanced > options' $menuentry_id_option 'gnulinux-advanced' {
	menuentry 'Debian, 2' $menuentry_id_option 'two' {
		linux /vmlinuz-2 two
		initrd /initrd.img-2
	}
	menuentry "Debian, 1" --id one {
		linux /vmlinuz-1 one
		initrd /initrd.img-1
	}
}
menuentry 'Firmware' { fwsetup
}
"#;

    fn starts(default: &str, environment: &str) -> Option<Starts> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("grub.cfg"), CFG.replace("DEFAULT", default)).expect("written");
        fs::write(folder.path().join("grubenv"), environment).expect("written");
        read(folder.path(), folder.path())
    }

    #[test]
    fn the_entry_that_starts_by_itself_is_found() {
        for (default, environment, arguments) in [
            ("0", "", "root=/dev/mapper/root ro quiet"),
            ("1>1", "", "one"),
            ("1", "", "two"),
            ("gnulinux-advanced>one", "", "one"),
            ("${saved_entry}", "saved_entry=gnulinux-advanced>two\n", "two"),
            (
                "${saved_entry}",
                "# GRUB Environment Block\n",
                "root=/dev/mapper/root ro quiet",
            ),
            ("0", "next_entry=1>1\n", "one"),
        ] {
            let Some(Starts::Default(start)) = starts(default, environment) else {
                panic!("{default}: none")
            };
            assert_eq!(start.arguments, arguments, "{default}: {start:?}");
        }
        let Some(Starts::Default(start)) = starts("0", "") else {
            panic!("none")
        };
        assert_eq!(start.initrds, ["/microcode.cpio", "/initrd.img-2"]);
        // One that does not exist: any of them.
        assert!(matches!(starts("gone", ""), Some(Starts::AnyOf(all)) if all.len() == 3));
    }

    #[test]
    fn menus_have_a_deepest_one() {
        let text = "submenu 'a' {\n".repeat(100_000);
        let items = parse(&text);
        let mut depth = 0;
        let mut item = items.first();
        while let Some(inner) = item {
            depth += 1;
            item = inner.items.first();
        }
        assert_eq!(depth, DEEPEST);
        let mut all = Vec::new();
        flatten(&items, &mut all);
        assert!(all.is_empty() && select(&items, "0").is_none());
    }

    #[test]
    fn no_text_makes_it_fail() {
        for text in [
            "}",
            "menuentry",
            "menuentry {",
            "submenu 'a' {\nmenuentry 'b' {\n",
            "linux",
            "initrd \\",
            "'",
        ] {
            let _ = parse(text);
        }
    }
}
