//! The contents of an initramfs: the names of its files, and the few that determine its behaviour.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::archive::{self, Allowance, Visitor};
use super::below::{self, text_of};
use super::unified;

/// Its lists of volumes: Debian's hook writes the first, all others the second.
const CRYPTTABS: [&str; 2] = ["cryptroot/crypttab", "etc/crypttab"];

/// The contents of an initramfs.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The paths in it, without `/` or `usr/` in front.
    names: BTreeSet<String>,
    texts: BTreeMap<&'static str, String>,
    /// The list of what its kernel has built in.
    builtin: String,
}

/// The images of all entries: those that several share are unpacked once.
#[derive(Debug, Default)]
pub struct Images {
    known: Vec<(Vec<PathBuf>, Result<Contents, String>)>,
    left: Allowance,
}

impl Images {
    /// As `Contents::read`.
    ///
    /// # Errors
    /// The reason why one of them cannot be read, as text.
    pub fn contents(&mut self, images: &[PathBuf], root: &Path, release: &str) -> Result<Contents, String> {
        if let Some((_, contents)) = self.known.iter().find(|(known, _)| known == images) {
            return contents.clone();
        }
        let contents = Contents::read(images, root, release, &mut self.left);
        self.known.push((images.to_owned(), contents.clone()));
        contents
    }
}

/// The software that unlocks volumes in the initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// One of ours, in contrib/.
    Luksmith,
    /// Debian's package cryptsetup-initramfs.
    Debian,
    /// systemd's own program, in dracut's module crypt or mkinitcpio's sd-encrypt.
    Systemd,
    /// dracut's module crypt without systemd.
    Dracut,
    /// mkinitcpio's hook encrypt.
    Encrypt,
}

impl Hook {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Luksmith => "luksmith unlock (contrib/)",
            Self::Debian => "cryptsetup-initramfs",
            Self::Systemd => "systemd-cryptsetup",
            Self::Dracut => "dracut's module crypt",
            Self::Encrypt => "mkinitcpio's hook encrypt",
        }
    }
}

impl Contents {
    /// Reads images that are loaded together, or folders with their contents. `root` is the system's.
    fn read(images: &[PathBuf], root: &Path, release: &str, left: &mut Allowance) -> Result<Self, String> {
        let mut contents = Self::default();
        for image in images {
            contents
                .add(image, root, left)
                .map_err(|reason| format!("{}: {reason}", image.display()))?;
        }
        let version = contents.names.iter().find_map(|name| {
            let version = name.split_once("lib/modules/")?.1.split('/').next()?;
            (!version.is_empty()).then(|| version.to_owned())
        });
        let version = version.as_deref().unwrap_or(release);
        let builtin = root.join("lib/modules").join(version).join("modules.builtin");
        contents.builtin = text_of(root, &builtin).unwrap_or_default();
        Ok(contents)
    }

    fn add(&mut self, image: &Path, root: &Path, left: &mut Allowance) -> Result<(), String> {
        if image.is_dir() {
            return self.walk(image, image).map_err(|error| error.to_string());
        }
        let file = below::file(root, image).map_err(|error| error.to_string())?;
        let len = file.metadata().map_err(|error| error.to_string())?.len();
        let part = unified::section(&file, b".initrd").unwrap_or(0..len);
        archive::read(&file, part, left, self).map_err(|error| error.to_string())
    }

    fn walk(&mut self, top: &Path, folder: &Path) -> io::Result<()> {
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            let name = path.strip_prefix(top).unwrap_or(&path).to_string_lossy().into_owned();
            if self.wants(&name) {
                let content = text_of(top, &path).unwrap_or_default();
                self.content(&name, content.into());
            }
            if fs::symlink_metadata(&path)?.is_dir() {
                self.walk(top, &path)?;
            }
        }
        Ok(())
    }

    /// Its list of volumes.
    pub fn crypttab(&self) -> Option<&str> {
        CRYPTTABS
            .iter()
            .find_map(|path| self.texts.get(path))
            .map(String::as_str)
    }

    /// Whether it has a file, given by its path in the running initramfs.
    pub fn has(&self, path: &Path) -> bool {
        self.names.contains(plain(&path.to_string_lossy()))
    }

    /// Whether one of the usual folders of programs has a file of this name.
    pub fn has_program(&self, name: &str) -> bool {
        ["bin/", "sbin/"]
            .iter()
            .any(|folder| self.names.contains(&format!("{folder}{name}")))
    }

    /// The software that unlocks volumes there; `None` if there is none.
    pub fn hook(&self) -> Option<Hook> {
        let has = |path: &str| self.names.contains(path);
        let runs = |name: &str| self.has_program(name);
        let ends = |end: &str| self.names.iter().any(|name| name.ends_with(end));
        match () {
            () if has("scripts/local-top/cryptroot") || has("cryptroot/crypttab") => Some(Hook::Debian),
            () if has("lib/systemd/systemd-cryptsetup") || runs("systemd-cryptsetup") => Some(Hook::Systemd),
            () if has("hooks/encrypt") => Some(Hook::Encrypt),
            () if runs("cryptroot-ask") => Some(Hook::Dracut),
            () if runs("luksmith") => Some(Hook::Luksmith),
            () if ends("bin/cryptsetup") => Some(Hook::Debian),
            () => None,
        }
    }

    pub(super) fn has_keymap(&self) -> bool {
        let is_keymap =
            |name: &String| name.contains("keymap") || name.contains(".kmap") || name.ends_with("vconsole.conf");
        self.names.iter().any(is_keymap)
    }

    /// Whether a module of that name, or one derived from it (`aesni-intel`), is there or built in.
    pub(super) fn has_module(&self, name: &str) -> bool {
        let named = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or(path).replace('-', "_");
            file.starts_with(name) && file.contains(".ko")
        };
        self.names.iter().any(|path| named(path)) || self.builtin.lines().any(named)
    }
}

impl Visitor for Contents {
    fn wants(&mut self, path: &str) -> bool {
        self.names.insert(plain(path).to_owned());
        CRYPTTABS.contains(&plain(path))
    }

    fn content(&mut self, path: &str, content: Vec<u8>) {
        if let Some(path) = CRYPTTABS.iter().find(|known| **known == plain(path)) {
            self.texts.insert(path, String::from_utf8_lossy(&content).into_owned());
        }
    }
}

/// Without the prefix, which leads to the same file.
fn plain(path: &str) -> &str {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    path.strip_prefix("usr/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(names: &[&str], builtin: &str) -> Contents {
        let mut contents = Contents {
            builtin: builtin.into(),
            ..Contents::default()
        };
        for name in names {
            contents.wants(name);
        }
        contents
    }

    #[test]
    fn modules_are_found_by_their_names_packed_or_built_in() {
        let names = ["lib/modules/6/kernel/arch/x86/crypto/aesni-intel.ko.xz", "bin/xts"];
        let contents = contents(&names, "kernel/crypto/cbc.ko\n");
        assert!(contents.has_module("aes") && contents.has_module("cbc"));
        assert!(!contents.has_module("xts") && !contents.has_module("dm_crypt"));
    }

    #[test]
    fn hooks_are_known_by_what_they_leave() {
        for (names, hook) in [
            (&["usr/sbin/luksmith"][..], Some(Hook::Luksmith)),
            (&["sbin/cryptsetup", "scripts/local-top/cryptroot"], Some(Hook::Debian)),
            (
                &["usr/lib/systemd/systemd-cryptsetup", "usr/sbin/cryptsetup"],
                Some(Hook::Systemd),
            ),
            (&["usr/bin/cryptsetup", "hooks/encrypt"], Some(Hook::Encrypt)),
            (&["sbin/cryptroot-ask", "sbin/cryptsetup"], Some(Hook::Dracut)),
            (&["bin/sh"], None),
        ] {
            assert_eq!(contents(names, "").hook(), hook, "{names:?}");
        }
        assert!(contents(&["usr/lib/cryptsetup/scripts/x"], "").has(Path::new("/lib/cryptsetup/scripts/x")));
    }
}
