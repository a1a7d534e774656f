//! What may be typed: every option of cryptsetup and ours, in one flat definition.
//!
//! Options are accepted anywhere on the line and with any action; which action takes which is in [`super::takes`], what
//! they mean together in `super::rules`. Help, manual pages and completions come from here. The order is that of the
//! usage text.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser};
use keyslots::units::{Bytes, Sectors};

use super::values::{self, Backend, KeySize, PbkdfKind, Priority, SectorSize, SlotRef};

/// Heading of the options that cryptsetup does not have.
pub const OURS: &str = "Luksmith's own options";

/// What was typed. See [`super::actions::Invocation`] for what it means.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "luksmith",
    version,
    no_binary_name = true,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    args_override_self = true,
    max_term_width = 100
)]
pub struct Options {
    /// Show the options, and what happens by default.
    #[arg(short = '?', long, action = ArgAction::Help)]
    pub help: Option<bool>,
    /// Show the options in short.
    #[arg(long)]
    pub usage: bool,
    /// Show the version.
    #[arg(short = 'V', long, action = ArgAction::Version)]
    pub version: Option<bool>,
    /// With `reencrypt`: the mapping that the device is active under, instead of finding it.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub active_name: Option<String>,
    /// Align the data to a multiple of this many 512-byte sectors; with `--header` it is where they start. 0 is the
    /// default. Deprecated: `--offset` says exactly where the data starts.
    #[arg(long, value_name = "SECTORS", allow_hyphen_values = true, value_parser = values::short_sectors)]
    pub align_payload: Option<Sectors>,
    /// Pass discards (TRIM) down to the device. They show which blocks are in use.
    #[arg(long)]
    pub allow_discards: bool,
    /// Ask no confirmation, and do not ask twice for a new passphrase.
    #[arg(short = 'q', long)]
    pub batch_mode: bool,
    /// Take back a deferred removal.
    #[arg(long)]
    pub cancel_deferred: bool,
    /// Cipher of the data, such as `aes-xts-plain64`. For plain devices always name cipher, key size and hash: cryptsetup has had two
    /// sets of defaults, aes-xts-plain64 with 256 bits and sha256 since 2.7, aes-cbc-essiv:sha256 with 256 bits and ripemd160 before.
    #[arg(short = 'c', long, value_name = "STRING", allow_hyphen_values = true)]
    pub cipher: Option<String>,
    /// Say what is being done, in lines that start with `#`.
    #[arg(long)]
    pub debug: bool,
    /// As `--debug`, with the LUKS2 metadata.
    #[arg(long)]
    pub debug_json: bool,
    /// With `reencrypt`: remove the encryption.
    #[arg(long)]
    pub decrypt: bool,
    /// Let the kernel remove the mapping once its last user closes it.
    #[arg(long)]
    pub deferred: bool,
    /// Use only this much of the device, in bytes or with a unit (`k`, `M`, `G`, `T`, `s` for sectors).
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = values::device_size)]
    pub device_size: Option<Bytes>,
    /// Do not look for other signatures on the device, and wipe none.
    #[arg(long)]
    pub disable_blkid: bool,
    /// Do not call the token handlers of other programs. None are called: without effect.
    #[arg(long)]
    pub disable_external_tokens: bool,
    /// Keep the volume key out of the kernel keyring: hand it to device-mapper itself.
    #[arg(long)]
    pub disable_keyring: bool,
    /// Take no locks on the metadata. Only for places where nothing else can run.
    #[arg(long)]
    pub disable_locks: bool,
    /// With OPAL: do not use the drive's single user mode. Without OPAL, without effect.
    #[arg(long)]
    pub disable_sum: bool,
    /// Look for TrueCrypt headers only, not for VeraCrypt's.
    #[arg(long)]
    pub disable_veracrypt: bool,
    /// Print the LUKS2 metadata as it stands in the header.
    #[arg(long)]
    pub dump_json_metadata: bool,
    /// Print the volume key, which opens the volume without a passphrase for ever.
    #[arg(long, alias = "dump-master-key")]
    pub dump_volume_key: bool,
    /// With `reencrypt`: encrypt a device in place.
    #[arg(long)]
    pub encrypt: bool,
    /// Folder that holds the token handlers of other programs. None are called: without effect.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true, value_parser = values::path())]
    pub external_tokens_path: Option<PathBuf>,
    /// Accept a weak new passphrase.
    #[arg(long)]
    pub force_password: bool,
    /// Reencrypt as if the device were not active, without looking.
    #[arg(long)]
    pub force_offline_reencrypt: bool,
    /// With `reencrypt`: go on although no keyslot will hold the new volume key.
    #[arg(long)]
    pub force_no_keyslots: bool,
    /// Hash: of PBKDF2, the volume key digest and the anti-forensic split, or of a plain device's passphrase.
    #[arg(short = 'h', long, value_name = "STRING", allow_hyphen_values = true)]
    pub hash: Option<String>,
    /// Device or file that holds the LUKS header, apart from the data.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true, value_parser = values::path())]
    pub header: Option<PathBuf>,
    /// File that the header backup is written to or restored from.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true, value_parser = values::path())]
    pub header_backup_file: Option<PathBuf>,
    /// With `reencrypt`: most data to move in one step.
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = values::hotzone_size)]
    pub hotzone_size: Option<Bytes>,
    /// Encrypt with the drive's own OPAL encryption as well as in software. Refused: this program does not do it.
    #[arg(long)]
    pub hw_opal: bool,
    /// Reset an OPAL drive, erasing all that it holds. Refused: this program does not do it.
    #[arg(long)]
    pub hw_opal_factory_reset: bool,
    /// Encrypt with the drive's own OPAL encryption alone. Refused: this program does not do it.
    #[arg(long)]
    pub hw_opal_only: bool,
    /// With `reencrypt`: only write the metadata that starts it.
    #[arg(long)]
    pub init_only: bool,
    /// Algorithm that protects the integrity of each sector, such as `hmac-sha256`. Refused: this program does not do it.
    #[arg(short = 'I', long, value_name = "STRING", allow_hyphen_values = true)]
    pub integrity: Option<String>,
    /// Keep the integrity tags in the hardware's own sector metadata. Refused: this program does not do it.
    #[arg(long)]
    pub integrity_inline: bool,
    /// Length of the integrity key, in bits. Refused: this program does not do it.
    #[arg(long, value_name = "BITS", allow_hyphen_values = true)]
    pub integrity_key_size: Option<KeySize>,
    /// Lay integrity tags out as old kernels did. Without integrity, without effect.
    #[arg(long)]
    pub integrity_legacy_padding: bool,
    /// Do without the integrity journal: faster, and unsafe at a power cut. Without integrity, without effect.
    #[arg(long)]
    pub integrity_no_journal: bool,
    /// Do not initialise the integrity tags after formatting.
    #[arg(long)]
    pub integrity_no_wipe: bool,
    /// Target unlocking time, in milliseconds. 0 is the default.
    #[arg(short = 'i', long, value_name = "msecs", allow_hyphen_values = true, value_parser = values::unsigned)]
    pub iter_time: Option<u32>,
    /// Count initialisation vectors in encryption sectors instead of 512-byte ones.
    #[arg(long)]
    pub iv_large_sectors: bool,
    /// File that a token is read from or written to; `-` is standard input or output.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true, value_parser = values::path())]
    pub json_file: Option<PathBuf>,
    /// With `reencrypt`: keep the volume key.
    #[arg(long)]
    pub keep_key: bool,
    /// Description of a key in the kernel keyring.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub key_description: Option<String>,
    /// Read the passphrase from this file, byte for byte; `-` is standard input to its end.
    #[arg(short = 'd', long, value_name = "STRING", allow_hyphen_values = true, value_parser = values::path())]
    pub key_file: Vec<PathBuf>,
    /// Length of the volume key, in bits. 0 is the default.
    #[arg(short = 's', long, value_name = "BITS", allow_hyphen_values = true)]
    pub key_size: Option<KeySize>,
    /// Keyslot: its number, or its name.
    #[arg(short = 'S', long, value_name = "INT", allow_hyphen_values = true)]
    pub key_slot: Option<SlotRef>,
    /// Skip this many bytes of the key file.
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = values::bytes)]
    pub keyfile_offset: Option<Bytes>,
    /// Read exactly this many bytes of the key file.
    #[arg(short = 'l', long, value_name = "bytes", allow_hyphen_values = true, value_parser = values::short_bytes)]
    pub keyfile_size: Option<Bytes>,
    /// Cipher that encrypts the keyslot, where it is not the data's.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub keyslot_cipher: Option<String>,
    /// Key length of `--keyslot-cipher`, in bits.
    #[arg(long, value_name = "BITS", allow_hyphen_values = true)]
    pub keyslot_key_size: Option<KeySize>,
    /// Label of the LUKS2 volume.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub label: Option<String>,
    /// Link the volume key into this kernel keyring: `<keyring>::<key description>`.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub link_vk_to_keyring: Vec<String>,
    /// Size of the LUKS2 keyslots area: a multiple of 4 KiB, at most 128 MiB.
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = values::keyslots_size)]
    pub luks2_keyslots_size: Option<Bytes>,
    /// Size of one LUKS2 metadata copy: 16, 32, 64, … 4096 KiB.
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = values::metadata_size)]
    pub luks2_metadata_size: Option<Bytes>,
    /// Read the new passphrase from this file.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true, value_parser = values::path())]
    pub new_keyfile: Option<PathBuf>,
    /// Skip this many bytes of the new key file.
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = values::bytes)]
    pub new_keyfile_offset: Option<Bytes>,
    /// Read exactly this many bytes of the new key file.
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = values::short_bytes)]
    pub new_keyfile_size: Option<Bytes>,
    /// Description of the kernel keyring key that is the new passphrase.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub new_key_description: Option<String>,
    /// With `reencrypt`: length of the new volume key, in bits.
    #[arg(long, value_name = "BITS", allow_hyphen_values = true)]
    pub new_key_size: Option<KeySize>,
    /// Keyslot for the new passphrase. Default: the first free one.
    #[arg(long, value_name = "INT", allow_hyphen_values = true)]
    pub new_key_slot: Option<SlotRef>,
    /// Token that holds the new passphrase; the new keyslot becomes one of its own. A new key file goes before it.
    #[arg(long, value_name = "INT", allow_hyphen_values = true, value_parser = values::small)]
    pub new_token_id: Option<u32>,
    /// With `reencrypt`: file that holds the new volume key.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true, value_parser = values::path())]
    pub new_volume_key_file: Option<PathBuf>,
    /// With `reencrypt`: kernel keyring key that is the new volume key.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub new_volume_key_keyring: Option<String>,
    /// Where the data starts on the device, in 512-byte sectors. With `luksFormat`, 0 is the default place. With `cat` and `write`: how many bytes of the
    /// decrypted data to pass over.
    #[arg(short = 'o', long, value_name = "SECTORS", allow_hyphen_values = true, value_parser = values::sectors)]
    pub offset: Option<Sectors>,
    /// Key derivation function of the keyslot: `argon2id`, `argon2i` or `pbkdf2`.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub pbkdf: Option<PbkdfKind>,
    /// Iterations (time cost) as given, without measuring.
    #[arg(long, value_name = "LONG", allow_hyphen_values = true, value_parser = values::unsigned)]
    pub pbkdf_force_iterations: Option<u32>,
    /// Most memory for Argon2, in KiB.
    #[arg(long, value_name = "kilobytes", allow_hyphen_values = true, value_parser = values::unsigned)]
    pub pbkdf_memory: Option<u32>,
    /// Most threads for Argon2.
    #[arg(long, value_name = "threads", allow_hyphen_values = true, value_parser = values::unsigned)]
    pub pbkdf_parallel: Option<u32>,
    /// Run the encryption work queues at high priority.
    #[arg(long = "perf-high_priority")]
    pub perf_high_priority: bool,
    /// Decrypt at once, not in a work queue.
    #[arg(long = "perf-no_read_workqueue")]
    pub perf_no_read_workqueue: bool,
    /// Encrypt at once, not in a work queue.
    #[arg(long = "perf-no_write_workqueue")]
    pub perf_no_write_workqueue: bool,
    /// Encrypt on the processor that the request came from.
    #[arg(long = "perf-same_cpu_crypt")]
    pub perf_same_cpu_crypt: bool,
    /// Submit writes from the threads that encrypted them.
    #[arg(long = "perf-submit_from_crypt_cpus")]
    pub perf_submit_from_crypt_cpus: bool,
    /// Keep the flags given here in the LUKS2 header, for later activations.
    #[arg(long)]
    pub persistent: bool,
    /// How eagerly the keyslot is tried: `ignore`, `normal` or `prefer`.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub priority: Option<Priority>,
    /// Show progress as lines of JSON.
    #[arg(long)]
    pub progress_json: bool,
    /// Show progress as a line every so many seconds.
    #[arg(long, value_name = "secs", allow_hyphen_values = true, value_parser = values::unsigned)]
    pub progress_frequency: Option<u32>,
    /// Make the mapping read-only.
    #[arg(short = 'r', long)]
    pub readonly: bool,
    /// With `reencrypt`: give up this much at the end of the device to make room for the header.
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = values::reduce_size)]
    pub reduce_device_size: Option<Bytes>,
    /// Reload an active mapping with the parameters given here.
    #[arg(long)]
    pub refresh: bool,
    /// With `reencrypt`: how an interruption is survived: `checksum`, `journal` or `none`.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub resilience: Option<String>,
    /// Hash of `--resilience checksum`.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub resilience_hash: Option<String>,
    /// With `reencrypt`: only go on with what was started.
    #[arg(long)]
    pub resume_only: bool,
    /// Encryption sector size in bytes: 512, 1024, 2048 or 4096. Default of `luksFormat`: 4096 where the device has
    /// physical sectors of that size, and its size and the start of the data are multiples of it; else 512. LUKS1 has 512.
    #[arg(long, value_name = "INT", allow_hyphen_values = true)]
    pub sector_size: Option<SectorSize>,
    /// Let only one process at a time run Argon2, where many unlock at once.
    #[arg(long)]
    pub serialize_memory_hard_pbkdf: bool,
    /// Allow another plain mapping over another part of the same device.
    #[arg(long)]
    pub shared: bool,
    /// Size of the mapping, in 512-byte sectors.
    #[arg(short = 'b', long, value_name = "SECTORS", allow_hyphen_values = true, value_parser = values::sectors)]
    pub size: Option<Sectors>,
    /// Start counting initialisation vectors at this 512-byte sector.
    #[arg(short = 'p', long, value_name = "SECTORS", allow_hyphen_values = true, value_parser = values::sectors)]
    pub skip: Option<Sectors>,
    /// Subsystem label of the LUKS2 volume. Alone it leaves the label as it is, which cryptsetup empties then.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub subsystem: Option<String>,
    /// Only check the command line.
    #[arg(long)]
    pub test_args: bool,
    /// Only check that the passphrase opens a keyslot.
    #[arg(long)]
    pub test_passphrase: bool,
    /// Seconds to wait for a passphrase at the terminal. 0 waits for ever.
    #[arg(short = 't', long, value_name = "secs", allow_hyphen_values = true, value_parser = values::unsigned)]
    pub timeout: Option<u32>,
    /// Token, by its number. -1 stands for any.
    #[arg(long, value_name = "INT", allow_hyphen_values = true, value_parser = values::token_id)]
    pub token_id: Option<u32>,
    /// Do not ask for a passphrase where no token opens the volume.
    #[arg(long)]
    pub token_only: bool,
    /// Overwrite the token of that number.
    #[arg(long)]
    pub token_replace: bool,
    /// Use tokens of this type only.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub token_type: Option<String>,
    /// Use the backup TrueCrypt header.
    #[arg(long)]
    pub tcrypt_backup: bool,
    /// Open the hidden TrueCrypt volume.
    #[arg(long)]
    pub tcrypt_hidden: bool,
    /// The device is a TrueCrypt system drive.
    #[arg(long)]
    pub tcrypt_system: bool,
    /// How often a passphrase may be tried. Default: 3.
    #[arg(short = 'T', long, value_name = "INT", allow_hyphen_values = true, value_parser = values::unsigned)]
    pub tries: Option<u32>,
    /// Type of the volume: `luks`, `luks1`, `luks2`, `plain`, `loopaes`, `tcrypt`, `bitlk` or `fvault2`.
    #[arg(
        short = 'M',
        long = "type",
        id = "type",
        value_name = "STRING",
        allow_hyphen_values = true
    )]
    pub device_type: Option<String>,
    /// A keyslot of another key than the volume's, or a token without a keyslot.
    #[arg(long)]
    pub unbound: bool,
    /// Take the volume key from `/dev/random`. The kernel's one generator serves both: without effect.
    #[arg(long)]
    pub use_random: bool,
    /// Take the volume key from `/dev/urandom`, which is the default.
    #[arg(long)]
    pub use_urandom: bool,
    /// UUID for the volume.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub uuid: Option<String>,
    /// Look for VeraCrypt headers too, which is the default.
    #[arg(long)]
    pub veracrypt: bool,
    /// VeraCrypt's personal iterations multiplier.
    #[arg(long, value_name = "INT", allow_hyphen_values = true, value_parser = values::unsigned)]
    pub veracrypt_pim: Option<u32>,
    /// Ask for VeraCrypt's personal iterations multiplier.
    #[arg(long)]
    pub veracrypt_query_pim: bool,
    /// Say more: which keyslot opened, and how the command ended.
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Ask twice for each passphrase at the terminal.
    #[arg(short = 'y', long)]
    pub verify_passphrase: bool,
    /// Volume key, in a file.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true, alias = "master-key-file", value_parser = values::path())]
    pub volume_key_file: Option<PathBuf>,
    /// Volume key, in the kernel keyring.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub volume_key_keyring: Option<String>,
    /// Obsolete, without effect.
    #[arg(short = 'B', long, value_name = "MiB", allow_hyphen_values = true, value_parser = values::unsigned)]
    pub block_size: Option<u32>,
    /// Obsolete name of `--encrypt`.
    #[arg(short = 'N', long)]
    pub new: bool,
    /// Obsolete, without effect.
    #[arg(long)]
    pub use_directio: bool,
    /// Obsolete, without effect.
    #[arg(long)]
    pub use_fsync: bool,
    /// Obsolete, without effect.
    #[arg(long)]
    pub write_log: bool,
    /// Print the answer as JSON.
    #[arg(long, help_heading = OURS)]
    pub json: bool,
    /// First write a backup of the header into this folder. With `doctor`: where the backups are.
    #[arg(long, value_name = "DIR", allow_hyphen_values = true, help_heading = OURS, value_parser = values::path())]
    pub backup: Option<PathBuf>,
    /// Derive a key whatever the keyslot says it costs, for hours if need be: otherwise PBKDF2 makes up to 10^9 iterations of SHA-256 or
    /// what takes as long with another hash, and Argon2 fills up to 4 GiB, 512 GiB in all passes.
    #[arg(long, help_heading = OURS)]
    pub no_pbkdf_limits: bool,
    /// Refuse a header that does not meet the policy in this file.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, help_heading = OURS)]
    pub policy: Option<PathBuf>,
    /// Name of the keyslot: a new one, or the one that a removal needs.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, help_heading = OURS)]
    pub slot_name: Option<String>,
    /// Protect the keyslot: removing it needs its name.
    #[arg(long, help_heading = OURS)]
    pub protect: bool,
    /// Draw what stands where on the device, to scale.
    #[arg(long, help_heading = OURS)]
    pub map: bool,
    /// Read or write only this many bytes of the decrypted data.
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, help_heading = OURS, value_parser = values::bytes)]
    pub length: Option<Bytes>,
    /// With `cat` and `write` of a plain volume: where its data starts on the device, in 512-byte sectors.
    #[arg(long, value_name = "SECTORS", allow_hyphen_values = true, help_heading = OURS, value_parser = values::sectors)]
    pub data_offset: Option<Sectors>,
    /// Who decrypts an open volume: `kernel` (the device-mapper), or `userspace` (this program, through FUSE, without
    /// root too). Default: the kernel where it has a device-mapper.
    #[arg(long, value_name = "BACKEND", allow_hyphen_values = true, help_heading = OURS)]
    pub backend: Option<Backend>,
    /// Go on with an image that is there in part: what is right already is left as it is.
    #[arg(long, help_heading = OURS)]
    pub resume: bool,
    /// With `close`: every volume that nobody uses, and what stands on it, from the top down.
    #[arg(long, help_heading = OURS)]
    pub all: bool,
    /// File to read instead of `/etc/crypttab`.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, help_heading = OURS, value_parser = values::path())]
    pub crypttab: Option<PathBuf>,
    /// File to read instead of `/proc/cmdline`.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, help_heading = OURS, value_parser = values::path())]
    pub kernel_arguments: Option<PathBuf>,
    /// With `doctor`: where the root of the system is mounted that is looked at. Default: `/`.
    #[arg(long, value_name = "DIR", allow_hyphen_values = true, help_heading = OURS, value_parser = values::path())]
    pub root: Option<PathBuf>,
    /// The initramfs to look at: the file, a unified kernel image, or a folder with what is in it. Default: the one that the boot loader starts by itself.
    #[arg(long, value_name = "PATH", allow_hyphen_values = true, help_heading = OURS, value_parser = values::path())]
    pub initramfs: Option<PathBuf>,
    /// The most memory for key derivations. Default: all but a little of what is available.
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, help_heading = OURS, value_parser = values::device_size)]
    pub memory_budget: Option<Bytes>,
    /// Seconds to wait for a device to appear where crypttab does not say. Default: 90; 0 waits for ever.
    #[arg(long, value_name = "secs", allow_hyphen_values = true, help_heading = OURS, value_parser = values::unsigned)]
    pub device_timeout: Option<u32>,
    /// The action and its arguments.
    #[arg(value_name = "ARGUMENT")]
    pub arguments: Vec<OsString>,
}
