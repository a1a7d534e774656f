//! How a volume is mapped, and which flags a LUKS2 header can store.

use crate::dm::table::CryptOptions;

/// Flags of an activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The mapping cannot be written to.
    pub read_only: bool,
    /// Discards are passed on to the device.
    pub allow_discards: bool,
    /// Encryption runs on the processor that submitted the request.
    pub same_cpu_crypt: bool,
    /// Writes are not handed to a separate thread after encryption.
    pub submit_from_crypt_cpus: bool,
    /// Reads are decrypted without a workqueue.
    pub no_read_workqueue: bool,
    /// Writes are encrypted without a workqueue.
    pub no_write_workqueue: bool,
    /// Workqueues run at high priority.
    pub high_priority: bool,
}

/// The names that LUKS2 metadata and `luksDump` have for them.
type Name = (&'static str, fn(&mut Flags) -> &mut bool);

const PERSISTENT: [Name; 6] = [
    ("allow-discards", |flags| &mut flags.allow_discards),
    ("same-cpu-crypt", |flags| &mut flags.same_cpu_crypt),
    ("submit-from-crypt-cpus", |flags| &mut flags.submit_from_crypt_cpus),
    ("no-read-workqueue", |flags| &mut flags.no_read_workqueue),
    ("no-write-workqueue", |flags| &mut flags.no_write_workqueue),
    ("high-priority", |flags| &mut flags.high_priority),
];

impl Flags {
    /// Adds the flags that a header stores to those that are set.
    pub fn add_persistent(&mut self, names: &[String]) {
        for (name, flag) in PERSISTENT {
            *flag(self) |= names.iter().any(|stored| stored == name);
        }
    }

    /// The flags of an activation that was given these: with those that the header stores, unless these replace them
    /// (`--persistent`).
    #[must_use]
    pub fn with_stored(mut self, stored: &[String], replaced: bool) -> Self {
        if !replaced {
            self.add_persistent(stored);
        }
        self
    }

    /// The persistent flags for a header: these, and those of `stored` that these do not replace.
    pub fn to_persistent(mut self, stored: &[String]) -> Vec<String> {
        let unknown = stored
            .iter()
            .filter(|name| PERSISTENT.iter().all(|(known, _)| known != name));
        let set: Vec<_> = PERSISTENT
            .iter()
            .filter(|(_, flag)| *flag(&mut self))
            .map(|(name, _)| *name)
            .collect();
        set.into_iter().map(str::to_owned).chain(unknown.cloned()).collect()
    }

    /// The flags of an active mapping.
    pub fn of_table(options: &CryptOptions, read_only: bool) -> Self {
        Self {
            read_only,
            allow_discards: options.allow_discards,
            same_cpu_crypt: options.same_cpu_crypt,
            submit_from_crypt_cpus: options.submit_from_crypt_cpus,
            no_read_workqueue: options.no_read_workqueue,
            no_write_workqueue: options.no_write_workqueue,
            high_priority: options.high_priority,
        }
    }

    /// The options of a crypt target.
    pub fn to_options(self, sector_size: u32, iv_large_sectors: bool) -> CryptOptions {
        CryptOptions {
            allow_discards: self.allow_discards,
            same_cpu_crypt: self.same_cpu_crypt,
            submit_from_crypt_cpus: self.submit_from_crypt_cpus,
            no_read_workqueue: self.no_read_workqueue,
            no_write_workqueue: self.no_write_workqueue,
            high_priority: self.high_priority,
            sector_size: (sector_size != 512).then_some(sector_size),
            iv_large_sectors,
            ..CryptOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_flags_are_kept_and_known_ones_replaced() {
        let stored = ["allow-discards".to_owned(), "from-the-future".to_owned()];
        let flags = Flags {
            high_priority: true,
            ..Flags::default()
        };
        assert_eq!(flags.to_persistent(&stored), ["high-priority", "from-the-future"]);
        let mut flags = Flags::default();
        flags.add_persistent(&stored);
        assert_eq!(
            flags,
            Flags {
                allow_discards: true,
                ..Flags::default()
            }
        );
    }

    #[test]
    fn given_flags_join_the_stored_ones_or_replace_them() {
        let stored = ["allow-discards".to_owned()];
        let given = Flags {
            same_cpu_crypt: true,
            ..Flags::default()
        };
        let both = Flags {
            allow_discards: true,
            ..given
        };
        assert_eq!(given.with_stored(&stored, false), both);
        assert_eq!(given.with_stored(&stored, true), given);
        assert_eq!(Flags::default().with_stored(&stored, true), Flags::default());
    }
}
