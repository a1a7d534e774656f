//! The fields: their names, widths and kinds, and the queries that they need.

/// The query that a field needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dmsetup) enum Needs {
    /// The device's name and UUID.
    Name,
    /// The device's state.
    Info,
    /// The devices that it uses.
    Deps,
    /// The relations of all devices.
    Tree,
    /// The parts of its name.
    Split,
    /// Counters.
    Stats,
    /// The description of the counters.
    Region,
    /// Nothing: the report knows it.
    Special,
}

/// The content of a field. Text is aligned left in its column, numbers right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    Number,
    /// A number of sectors, shown with a unit.
    Size,
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) id: Id,
    /// Its name in lists of fields.
    pub(super) name: &'static str,
    pub(super) heading: &'static str,
    /// The least width of its column.
    pub(super) width: usize,
    pub(super) holds: Holds,
    needs: Needs,
    pub(super) about: &'static str,
}

/// The meaning of a name in a list of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Field(Id),
    /// Every field of the report's kind.
    All,
    /// Every field that needs this query.
    AllOf(Needs),
    Help,
}

/// A part of the list of all fields.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// The name for all of it, less `_all`.
    pub(super) group: &'static str,
    pub(super) holds: &'static [Needs],
}

/// The parts, in the order of the help.
#[rustfmt::skip]
pub(super) const SECTIONS: &[Section] = &[
    Section { title: "Mapped Device Name Fields", group: "name", holds: &[Needs::Name] },
    Section { title: "Mapped Device Information Fields", group: "info", holds: &[Needs::Info] },
    // Its group is the dependencies alone, without the fields that need the whole tree.
    Section { title: "Mapped Device Relationship Information Fields", group: "deps", holds: &[Needs::Deps, Needs::Tree] },
    Section { title: "Mapped Device Name Components Fields", group: "splitname", holds: &[Needs::Split] },
    Section { title: "Mapped Device Statistics Fields", group: "stats", holds: &[Needs::Stats] },
    Section { title: "Mapped Device Statistics Region Information Fields", group: "region", holds: &[Needs::Region] },
];

/// The names that ask for help.
pub(super) const HELP: [&str; 2] = ["help", "?"];

macro_rules! fields {
    ($($id:ident $name:literal $heading:literal $width:literal $holds:ident $needs:ident $about:literal;)*) => {
        /// A field, by its name in lists of fields.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(clippy::enum_variant_names, reason = "the names are the fields' own")]
        pub(in crate::dmsetup) enum Id { $($id),* }

        /// Every field, in the order of the help.
        pub(super) const FIELDS: &[Field] = &[$(Field {
            id: Id::$id,
            name: $name,
            heading: $heading,
            width: $width,
            holds: Holds::$holds,
            needs: Needs::$needs,
            about: $about,
        }),*];
    };
}

// "Averate" is dmsetup's.
fields! {
    // Mapped Device Name Fields
    Name "name" "Name" 16 Text Name "Name of mapped device.";
    MangledName "mangled_name" "MangledName" 16 Text Name "Mangled name of mapped device.";
    UnmangledName "unmangled_name" "UnmangledName" 16 Text Name "Unmangled name of mapped device.";
    Uuid "uuid" "UUID" 32 Text Name "Unique (optional) identifier for mapped device.";
    MangledUuid "mangled_uuid" "MangledUUID" 32 Text Name "Mangled unique (optional) identifier for mapped device.";
    UnmangledUuid "unmangled_uuid" "UnmangledUUID" 32 Text Name "Unmangled unique (optional) identifier for mapped device.";
    ReadAhead "read_ahead" "RAhead" 6 Number Name "Read ahead value.";
    // Mapped Device Information Fields
    Blkdevname "blkdevname" "BlkDevName" 16 Text Info "Name of block device.";
    Attr "attr" "Stat" 4 Text Info "(L)ive, (I)nactive, (s)uspended, (r)ead-only, read-(w)rite.";
    TablesLoaded "tables_loaded" "Tables" 6 Text Info "Which of the live and inactive table slots are filled.";
    Suspended "suspended" "Suspended" 9 Text Info "Whether the device is suspended.";
    Readonly "readonly" "Read-only" 9 Text Info "Whether the device is read-only or writeable.";
    Devno "devno" "DevNo" 5 Text Info "Device major and minor numbers";
    Major "major" "Maj" 3 Number Info "Block device major number.";
    Minor "minor" "Min" 3 Number Info "Block device minor number.";
    Open "open" "Open" 4 Number Info "Number of references to open device, if requested.";
    Segments "segments" "Targ" 4 Number Info "Number of segments in live table, if present.";
    Events "events" "Event" 6 Number Info "Number of most recent event.";
    // Mapped Device Relationship Information Fields
    DeviceCount "device_count" "#Devs" 5 Number Deps "Number of devices used by this one.";
    DevsUsed "devs_used" "DevNamesUsed" 16 Text Tree "List of names of mapped devices used by this one.";
    DevnosUsed "devnos_used" "DevNosUsed" 16 Text Deps "List of device numbers of devices used by this one.";
    BlkdevsUsed "blkdevs_used" "BlkDevNamesUsed" 16 Text Deps "List of names of block devices used by this one.";
    DeviceRefCount "device_ref_count" "#Refs" 5 Number Tree "Number of mapped devices referencing this one.";
    NamesUsingDev "names_using_dev" "RefNames" 8 Text Tree "List of names of mapped devices using this one.";
    DevnosUsingDev "devnos_using_dev" "RefDevNos" 9 Text Tree "List of device numbers of mapped devices using this one.";
    // Mapped Device Name Components Fields
    Subsystem "subsystem" "Subsys" 6 Text Split "Userspace subsystem responsible for this device.";
    VgName "vg_name" "VG" 4 Text Split "LVM Volume Group name.";
    LvName "lv_name" "LV" 4 Text Split "LVM Logical Volume name.";
    LvLayer "lv_layer" "LVLayer" 7 Text Split "LVM device layer.";
    // Mapped Device Statistics Fields
    ReadCount "read_count" "#Reads" 6 Number Stats "Count of reads completed.";
    ReadsMergedCount "reads_merged_count" "#RdMrgs" 7 Number Stats "Count of read requests merged.";
    ReadSectorCount "read_sector_count" "#RdSectors" 10 Number Stats "Count of sectors read.";
    ReadTime "read_time" "AccRdTime" 11 Number Stats "Accumulated duration of all read requests (ns).";
    WriteCount "write_count" "#Writes" 7 Number Stats "Count of writes completed.";
    WritesMergedCount "writes_merged_count" "#WrMrgs" 7 Number Stats "Count of write requests merged.";
    WriteSectorCount "write_sector_count" "#WrSectors" 10 Number Stats "Count of sectors written.";
    WriteTime "write_time" "AccWrTime" 11 Number Stats "Accumulated duration of all writes (ns).";
    InProgressCount "in_progress_count" "#InProg" 7 Number Stats "Count of requests currently in progress.";
    IoTicks "io_ticks" "IoTicks" 7 Number Stats "Nanoseconds spent servicing requests.";
    QueueTicks "queue_ticks" "QueueTicks" 10 Number Stats "Total nanoseconds spent in queue.";
    ReadTicks "read_ticks" "RdTicks" 7 Number Stats "Nanoseconds spent servicing reads.";
    WriteTicks "write_ticks" "WrTicks" 7 Number Stats "Nanoseconds spent servicing writes.";
    ReadsMergedPerSec "reads_merged_per_sec" "RMrg/s" 6 Number Stats "Read requests merged per second.";
    WritesMergedPerSec "writes_merged_per_sec" "WMrg/s" 6 Number Stats "Write requests merged per second.";
    ReadsPerSec "reads_per_sec" "R/s" 4 Number Stats "Reads per second.";
    WritesPerSec "writes_per_sec" "W/s" 4 Number Stats "Writes per second.";
    ReadSizePerSec "read_size_per_sec" "RSz/s" 5 Number Stats "Size of data read per second.";
    WriteSizePerSec "write_size_per_sec" "WSz/s" 5 Number Stats "Size of data written per second.";
    AvgRequestSize "avg_request_size" "AvgRqSz" 7 Number Stats "Average request size.";
    QueueSize "queue_size" "QSize" 5 Number Stats "Average queue size.";
    Await "await" "AWait" 5 Number Stats "Averate wait time.";
    ReadAwait "read_await" "RdAWait" 7 Number Stats "Averate read wait time.";
    WriteAwait "write_await" "WrAWait" 7 Number Stats "Averate write wait time.";
    Throughput "throughput" "Throughput" 10 Number Stats "Throughput.";
    ServiceTime "service_time" "SvcTm" 5 Number Stats "Service time.";
    Util "util" "Util%" 5 Number Stats "Utilization.";
    HistCount "hist_count" "Histogram Counts" 16 Text Stats "Latency histogram counts.";
    HistCountBounds "hist_count_bounds" "Histogram Counts" 16 Text Stats "Latency histogram counts with bin boundaries.";
    HistCountRanges "hist_count_ranges" "Histogram Counts" 16 Text Stats "Latency histogram counts with bin ranges.";
    HistPercent "hist_percent" "Histogram%" 10 Text Stats "Relative latency histogram.";
    HistPercentBounds "hist_percent_bounds" "Histogram%" 10 Text Stats "Relative latency histogram with bin boundaries.";
    HistPercentRanges "hist_percent_ranges" "Histogram%" 10 Text Stats "Relative latency histogram with bin ranges.";
    IntervalNs "interval_ns" "IntervalNs" 10 Number Stats "Sampling interval in nanoseconds.";
    Interval "interval" "Interval" 8 Number Stats "Sampling interval.";
    // Mapped Device Statistics Region Information Fields
    RegionId "region_id" "RgID" 4 Number Region "Region ID.";
    RegionStart "region_start" "RgStart" 7 Size Region "Region start.";
    RegionLen "region_len" "RgSize" 6 Size Region "Region length.";
    AreaId "area_id" "ArID" 4 Number Region "Area ID.";
    AreaStart "area_start" "ArStart" 7 Size Region "Area offset from start of device.";
    AreaLen "area_len" "ArSize" 6 Size Region "Area length.";
    AreaOffset "area_offset" "ArOff" 5 Size Region "Area offset from start of region.";
    AreaCount "area_count" "#Areas" 6 Number Region "Area count.";
    GroupId "group_id" "GrpID" 5 Number Region "Group ID.";
    ProgramId "program_id" "ProgID" 6 Text Region "Program ID.";
    UserData "user_data" "UserData" 8 Text Region "Auxiliary data.";
    Precise "precise" "Precise" 7 Text Region "Set if nanosecond precision counters are enabled.";
    HistBins "hist_bins" "#Bins" 9 Text Region "The number of histogram bins configured.";
    HistBounds "hist_bounds" "Histogram Bounds" 16 Text Region "Latency histogram bin boundaries.";
    HistRanges "hist_ranges" "Histogram Ranges" 16 Text Region "Latency histogram bin ranges.";
    StatsName "stats_name" "Name" 16 Text Region "Stats name of current object.";
    ObjType "obj_type" "ObjType" 7 Text Region "Type of stats object being reported.";
    // Special Fields
    Selected "selected" "Selected" 8 Number Special "Set if item passes selection criteria.";
}

impl Id {
    /// Its row in the table.
    pub(super) fn field(self) -> &'static Field {
        &FIELDS[self as usize]
    }

    /// Its name in lists of fields.
    pub(in crate::dmsetup) fn name(self) -> &'static str {
        self.field().name
    }

    /// The query that it needs.
    pub(in crate::dmsetup) fn needs(self) -> Needs {
        self.field().needs
    }

    /// All of them, in the order of the help.
    pub(super) fn every() -> impl Iterator<Item = Self> {
        FIELDS.iter().map(|field| field.id)
    }

    /// The meaning of a name. Case and underscores are ignored.
    pub(super) fn find(name: &str) -> Option<Word> {
        let same = |known: &str| plain(known).eq(plain(name));
        if let Some(field) = FIELDS.iter().find(|field| same(field.name)) {
            return Some(Word::Field(field.id));
        }
        if HELP.iter().any(|help| same(help)) {
            return Some(Word::Help);
        }
        if same("all") {
            return Some(Word::All);
        }
        let group = SECTIONS.iter().find(|section| same(&format!("{}all", section.group)))?;
        Some(Word::AllOf(group.holds[0]))
    }
}

fn plain(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|b| *b != b'_').map(|b| b.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_its_names() {
        for (n, field) in FIELDS.iter().enumerate() {
            assert_eq!(field.id as usize, n, "{}", field.name);
            assert!(field.width >= field.heading.len(), "{}", field.name);
            assert_eq!(Id::find(field.name), Some(Word::Field(field.id)));
        }
    }

    #[test]
    fn every_field_is_in_one_section() {
        for field in FIELDS.iter().filter(|field| field.needs != Needs::Special) {
            let sections = SECTIONS.iter().filter(|section| section.holds.contains(&field.needs));
            assert_eq!(sections.count(), 1, "{}", field.name);
        }
    }
}
