# Statistics: the same lines with Debian's dmstats and with ours, on the same devices with the same I/O. `a` for answers that must be
# alike, `d` with a reason for those that must differ, and do.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
modprobe -a loop dm-mod ext4
declare -A reason
truncate -s 64M one two three
A=$(losetup --show -f one) B=$(losetup --show -f two) C=$(losetup --show -f three)

# Files, once for both tools: their file system is on d2.
/luksmith/dmsetup create d2 --table "0 65536 linear $C 0"
mkfs.ext4 -q -F /dev/mapper/d2
mkdir -p m && mount /dev/mapper/d2 m || fail "a file system"
mkdir -p m/dir m/sub
echo hi >m/tiny
dd if=/dev/urandom of=m/plain bs=64k count=16 status=none
: >m/empty
truncate -s 1M m/hole
for i in 0 2 4; do dd if=/dev/urandom of=m/three bs=64k seek=$i count=1 conv=notrunc status=none; done
fallocate -l 512k m/unwritten
dd if=/dev/urandom of=m/unwritten bs=64k seek=2 count=1 conv=notrunc status=none
ln -s plain m/link
cp m/tiny "m/sub/a b"
sync
# A region that counts the file system's own writes, which come when they come, would tell each tool something else.
mount -o remount,ro m || fail "a file system at rest"

a() {
  n=$((n + 1))
  local file
  printf -v file 'cases/%s/%03d' "$tool" $n
  {
    echo "\$ dmstats $*"
    "$dm" stats "$@" </dev/null 2>"$file.err"
    echo "exit $?"
  } >"$file"
}
d() {
  reason[$((n + 1))]=$1
  shift
  a "$@"
}
# raw: what the kernel has, as an answer of its own.
raw() {
  n=$((n + 1))
  printf -v file 'cases/%s/%03d' "$tool" $n
  { echo "the kernel's regions"; for device in d0 d1; do /usr/sbin/dmsetup message $device 0 @stats_list; done; } >"$file"
  : >"$file.err"
}
# kept: what the kernel has on the device with files.
kept() {
  n=$((n + 1))
  local file
  printf -v file 'cases/%s/%03d' "$tool" $n
  { echo "the kernel's regions of files"; /usr/sbin/dmsetup message d2 0 @stats_list; } >"$file"
  : >"$file.err"
}
# numbers DEVICE: of its regions.
numbers() { /usr/sbin/dmsetup message "$1" 0 @stats_list | sed -n 's/:.*//p' | tr '\n' ' '; }
io() {
  dd if=/dev/mapper/d0 of=/dev/null bs=4096 count=64 iflag=direct status=none
  dd if=/dev/zero of=/dev/mapper/d0 bs=64k count=8 seek=8 oflag=direct status=none
}
counted=name,region_id,area_id,obj_type,read_count,write_count,read_sector_count,write_sector_count,in_progress_count
histograms=hist_count,hist_count_bounds,hist_count_ranges,hist_percent,hist_percent_bounds,hist_percent_ranges,region_id

devices() {
  a list
  /usr/sbin/dmsetup create d0 --table "0 65536 linear $A 0"
  /usr/sbin/dmsetup create d1 -u UUID1 --table "0 4096 linear $A 65536"$'\n'"4096 4096 linear $B 0"
  [ "$UDEV" = 1 ] || /luksmith/dmsetup mknodes
}

making() {
  a
  a help
  a help -c
  a -h
  a list -h
  a nosuch
  a version
  a list
  a report
  a print
  a create
  a delete
  a clear
  a delete --allregions
  a create d0
  for o in '' -v --area --region --group --histogram; do a list $o; done
  a create d0 --areas 4
  a create d0 --areasize 1M
  a create d0 --start 1M --length 1M
  a create d0 --start 8 --length 100 --areasize 7
  a create --alldevices
  a create --segments d1
  a create --segments --nogroup d1
  a create --segments --alias foo d1
  a create --segments --userdata mine d1
  a create --bounds 10ms,20ms,1s d0
  a create --bounds 10us,20ms d0
  a create --bounds 1,1us,2ms,3s d0
  a create --precise d0
  a create --programid me --userdata hello d0
  a create --userdata xy d0
  a create nosuch
  a create d0 d1
  a create --areas 0 d0
  a create --areasize 0 d0
  a create --areas 3 --areasize 1M d0
  a create --start 1M d0
  a create --length 1K d0
  a create --start 100M --length 1M d0
  a create --start 0 --length 0 d0
  a create --start x d0
  a create --length x d0
  a create --bounds 20ms,10ms d0
  a create --bounds 10ms,10ms d0
  a create --segments --start 0 --length 8 d0
  a create -u UUID1
  for bad in x 0 '1ms, 2ms' 1m 99999999999999999999s; do d "what is no bound is refused in one line" create --bounds "$bad" d0; done
  for bad in 1.5m -5 1x; do d "what is no size is not taken for all of the device" create --length "$bad" d0; done
  d "what is no number is not taken for 0" create --areas x d0
  for o in --userdata --programid; do d "blanks are named as what is wrong" create $o 'x y' d0; done
  local before region
  before=" $(numbers d1) "
  d "blanks are named as what is wrong" create --segments --alias 'x y' d1
  for region in $(numbers d1); do
    case $before in *" $region "*) ;; *) /usr/sbin/dmsetup message d1 0 @stats_delete "$region" ;; esac
  done
  # Whatever the other made of these.
  for region in $(/usr/sbin/dmsetup message d0 0 @stats_list | sed -n 's/:.*//p' | awk '$1 > 18'); do
    /usr/sbin/dmsetup message d0 0 @stats_delete "$region"
  done
  raw
}

listing() {
  for o in '' d0 d1 '-u UUID1' nosuch 'd0 nosuch' --allprograms '--programid me' '--programid nosuch' '-v d1' --area --region --group \
    '--area --region --group' --histogram '--histogram --area' '--histogram -v d1' '--units k' '--units s d0' '--units b d0' \
    '--units H d0' '--units 3M d0' '--units M --nosuffix d0' '--units x' '--units 0k' '--units h' '-o name,region_id,area_id d0' \
    '-o +user_data d0' '-o user_data,region_id --allprograms' '-S region_id>2 d0' '-S region_len<1m' \
    '-S stats_name=foo' '--noheadings d1' '--nameprefixes d1' '--rows d1' '--separator : d1' '--columns d0' '--count 2' \
    '--interval 0' '--count -1' '-o precise,hist_bounds,hist_ranges,hist_bins --notimesuffix' '-o nosuch' '-o help'; do
    a list $o
  done
  a list -O -region_id d0
  d "a region has its own begin, whatever the numbers of areas" list -v d0
  a list -o hist_bounds,hist_ranges --noheadings
  d "a region has its own begin, whatever the numbers of areas" list -o region_all d1
}

reporting() {
  a clear d0
  a clear --allregions
  a clear --regionid 0 d0
  a clear --regionid 0
  a clear --regionid 77 d0
  a clear --regionid 9 d0
  io
  for number in 0 2 9; do
    n=$((n + 1))
    printf -v file 'cases/%s/%03d' "$tool" $n
    # Times differ.
    { echo "print $number"; "$dm" stats print --regionid $number d0 | cut -d' ' -f1,2,4,6,8,10; } >"$file"
    : >"$file.err"
  done
  a print --regionid 77 d0
  d "a region is printed once" print --allregions d1
  d "a region is printed once" print --allregions d0
  a print --regionid 0 --clear d1
  a report -o $counted
  io
  a report -o $counted d0
  io
  a report -o $counted --area d0
  io
  a report -o $counted --region --allprograms
  a report -o $counted --group
  io
  a report -o region_id,obj_type,reads_per_sec,writes_per_sec,read_size_per_sec,write_size_per_sec,avg_request_size,throughput,interval,interval_ns d0
  io
  a report --interval 2 --count 1 -o region_id,reads_per_sec,write_size_per_sec,interval --units k --noheadings d0
  d "a region has its own begin, whatever the numbers of areas" report --region d1
  for o in '' -v --area --group --histogram '--histogram --relative' '--histogram --notimesuffix' nosuch '--interval 0'; do
    a report $o d1
  done
  a report -S 'read_count>0' -o region_id,read_count d0
  a report -o nosuch
  a report --programid nosuch
}

# Each request is faster than the first bound, so that all counts are known.
counting() {
  a delete --allregions --allprograms --alldevices
  a create --areas 2 --bounds 100s,200s,1000s d0
  a create --precise --bounds 100s,150s,1000s,10000s d0
  for style in '' '--noheadings' '--noheadings --separator |' '--separator |' --nameprefixes --rows '--rows --noheadings' \
    --notimesuffix '--notimesuffix --noheadings'; do
    io
    a report -o $histograms $style d0
  done
  io
  a report -o $histograms --region d0
  a report --histogram -o +hist_bins d1
  a delete --allregions d0
}

grouping() {
  for region in 1 2 3 4; do a create d0; done
  a create --start 0 --length 8 --bounds 10ms d0
  a create --start 8 --length 8 --bounds 10ms d0
  a create --segments d1
  io
  a group --regions 0-1 --alias al d0
  a group --regions 1,2 d0
  a group --regions 0-99 d0
  a group --regions 4,5 --alias 'late' d0
  raw
  a list
  d "the number of bins goes with the bounds" list --group --histogram
  a report -o $counted
  a ungroup d0
  a ungroup --groupid 0
  a ungroup --groupid 0 d0
  a delete d0
  a delete --regionid 0
  a delete --groupid 1 --regionid 2 d0
  a delete --groupid 77 d0
  a delete --regionid 2 d0
  a delete --regionid 2 d0
  a delete --regionid 5 d0
  a delete --regionid 0 d1
  a delete --allregions --programid nosuch d0
  raw
  a delete --groupid 4 d0
  raw
  a delete --allregions nosuch
  a delete --allregions --alldevices
  raw
}

# Regions for the extents of files.
filemaps() {
  local o
  for o in plain three tiny empty hole unwritten dir link nosuch; do a create --filemap --nomonitor m/$o; done
  for o in /root/one /dev/mapper/d2 /dev/null ''; do a create --filemap --nomonitor $o; done
  kept
  a list d2
  a list --group d2
  a delete --allregions d2
  a create --filemap --nomonitor --nogroup m/three
  a create --filemap --nomonitor --nogroup m/three m/plain
  a create --filemap --nomonitor m/three m/plain
  a create --filemap --nomonitor m/three m/nosuch m/plain
  a create --filemap --nomonitor --alias al m/three
  a create --filemap --nomonitor --bounds 10ms,20ms m/three
  a create --filemap --nomonitor --bounds 20ms,10ms m/three
  for o in '--userdata ud' '--areas 2' '--areasize 8k' '--start 0 --length 8' --segments --alldevices '-u UUID1' '-j 1 -m 1' \
    '--follow nosuch' --foreground '--foreground --follow path'; do
    a create --filemap --nomonitor $o m/three
  done
  a create --filemap --follow nosuch m/three
  a update_filemap --nomonitor --follow path --groupid 0 m/three
  a update_filemap --nomonitor --foreground --groupid 0 m/three
  a update_filemap --follow nosuch --groupid 0 m/three
  d "a reason is given" create --filemap --foreground --nogroup m/three
  for o in '--follow nosuch' --nomonitor; do a create $o d1; done
  kept
  a delete --allregions d1
  a delete --allregions d2
  a create --filemap --nomonitor m/three
  a update_filemap
  a update_filemap m/three
  a update_filemap --groupid 0
  a update_filemap --groupid 0 --nomonitor m/three
  a update_filemap --groupid 7 --nomonitor m/three
  d "what is no number is not taken for 0" update_filemap --groupid x --nomonitor m/three
  a update_filemap --groupid 0 --nomonitor m/nosuch
  a update_filemap --groupid 0 --nomonitor m/dir
  d "no address in a message" update_filemap --groupid 0 --nomonitor /root/one
  kept
  a update_filemap --groupid 0 --nomonitor m/unwritten
  kept
  a update_filemap --groupid 0 --nomonitor m/three m/plain
  kept
  a list d2
  d "a group is left where nothing of its file is on the disk" update_filemap --groupid 0 --nomonitor m/empty
  /usr/sbin/dmsetup stats delete --allregions d2
  reason[$((n + 2))]="--precise counts in nanoseconds"
  a create --filemap --nomonitor --precise --bounds 10ms,20ms m/three
  kept
  /usr/sbin/dmsetup stats delete --allregions d2
  reason[$((n + 2))]="--programid is whose the regions are"
  a create --filemap --nomonitor --programid me m/three
  kept
  /usr/sbin/dmsetup stats delete --allregions --allprograms d2
  d "a file whose name has a blank has regions too" create --filemap --nomonitor "m/sub/a b"
  /usr/sbin/dmsetup stats delete --allregions d2
  d "Debian has no dmfilemapd to start" create --filemap m/plain
  /usr/sbin/dmsetup stats delete --allregions d2
}

for tool in peer ours; do
  [ $tool = peer ] && dm=/usr/sbin/dmsetup || dm=/luksmith/dmsetup
  mkdir -p cases/$tool
  n=0
  for part in devices making listing reporting counting grouping filemaps; do $part; done
  a list -h
  # Called by the verb's own name.
  ln -sf "$dm" /tmp/dmstats
  for words in '' help list nosuch --nosuch version --version 'list -h'; do
    n=$((n + 1))
    printf -v file 'cases/%s/%03d' "$tool" $n
    { echo "dmstats $words"; /tmp/dmstats $words 2>"$file.err"; echo "exit $?"; } >"$file"
  done
  /luksmith/dmsetup remove d0 d1
done
alike=0 differ=0
for theirs in cases/peer/*[0-9]; do
  number=${theirs##*/} ours=cases/ours/${theirs##*/}
  number=$((10#$number))
  # Without a process for each: there are hundreds.
  if [ "$(<"$theirs")"$'\n'"$(<"$theirs.err")" = "$(<"$ours")"$'\n'"$(<"$ours.err")" ]; then
    alike=$((alike + 1))
    [ -z "${reason[$number]:-}" ] || fail "$(head -1 "$theirs") is to differ (${reason[$number]}), and does not"
  else
    differ=$((differ + 1))
    if [ -n "${reason[$number]:-}" ]; then
      pass "$(head -1 "$theirs" | cut -c1-80) differs: ${reason[$number]}"
    else
      same "$(head -1 "$theirs")" "$(cat "$theirs" "$theirs.err")" "$(cat "$ours" "$ours.err")"
    fi
  fi
done
echo "$alike answers alike, $differ differ"

# The daemon, which Debian does not ship: it follows the file, and ends by itself.
daemons() { grep -Eal '^(\./)?dmfilemapd' /proc/[0-9]*/cmdline 2>/dev/null | wc -l; }
no_daemon() { [ "$(daemons)" = 0 ]; }
a_daemon() { [ "$(daemons)" = 1 ]; }
sectors() { /usr/sbin/dmsetup message d2 0 @stats_list | sed 's/.*+//' | awk '{ sum += $1 } END { print sum + 0 }'; }
sectors_are() { [ "$(sectors)" = "$1" ]; }
ours=/luksmith/dmsetup
mount -o remount,rw m || fail "a file system that is written to"
begins() { # NAME WORDS...: a daemon for m/grow.
  dd if=/dev/urandom of=m/grow bs=64k count=1 status=none && sync
  within 120 no_daemon || fail "$1: an older daemon is there"
  $ours stats create --filemap "${@:2}" m/grow >/dev/null || fail "$1: no group"
  within 120 a_daemon
  if a_daemon && sectors_are 128; then pass "$1: it runs"; else fail "$1: $(daemons) daemons, $(sectors) sectors"; fi
}
holds() { if "${@:2}"; then pass "$1"; else fail "$1: $(daemons) daemons, $(/usr/sbin/dmsetup message d2 0 @stats_list)"; fi; }
$ours stats create --filemap --nomonitor "m/sub/a b" >/dev/null
same "a group is listed by its file's name, blank and all" "a b" "$($ours stats list --noheadings --group -o stats_name d2 | sed 's/ *$//')"
$ours stats delete --groupid 0 d2 >/dev/null
# A descriptor of the caller's would keep its lock, and whoever reads the other end of a pipe from its end.
: >caller
exec 9>caller
flock 9
begins "descriptors" --follow inode
exec 9>&-
holds "descriptors: it holds nothing of who started it" within 120 flock -n caller true
$ours stats delete --groupid 0 d2 >/dev/null
for mode in inode path; do
  begins "$mode" --follow $mode
  dd if=/dev/urandom of=m/grow bs=64k seek=4 count=2 conv=notrunc status=none && sync
  holds "$mode: it follows a file that grows" within 120 sectors_are 384
  truncate -s 64k m/grow && sync
  holds "$mode: it follows a file that shrinks" within 120 sectors_are 128
  $ours stats delete --groupid 0 d2 >/dev/null
  holds "$mode: it ends with its group" within 120 no_daemon
done
begins "inode: the file goes" --follow inode
mv m/grow m/moved && dd if=/dev/urandom of=m/moved bs=64k seek=2 count=1 conv=notrunc status=none && sync
holds "inode: it follows a file that is moved" within 120 sectors_are 256
exec 8<m/moved
rm m/moved && sleep 3
holds "inode: it stays while the file is open" [ "$(daemons)" = 1 ]
exec 8<&-
holds "inode: it ends with its file" within 120 no_daemon
$ours stats delete --allregions d2
begins "path: the file goes" --follow path
dd if=/dev/urandom of=m/new bs=64k count=3 status=none && mv m/new m/grow && sync
holds "path: it follows the path" within 120 sectors_are 384
rm m/grow
holds "path: it ends with the file" within 120 no_daemon
$ours stats delete --allregions d2
# By hand, as dmfilemapd(8) has it.
dd if=/dev/urandom of=m/grow bs=64k count=1 status=none && sync
$ours stats create --filemap --nomonitor m/grow >/dev/null
ln -sf /luksmith/luksmith dmfilemapd
# Without a timeout, which would keep the file open for a while after the daemon.
(exec 7<m/grow && exec ./dmfilemapd 7 0 "$PWD/m/grow" inode 1 1) &
foreground=$!
holds "by hand: it runs" within 120 a_daemon
$ours stats delete --groupid 0 d2 >/dev/null
wait $foreground
same "by hand: it ends with its group" 0 $?
./dmfilemapd 7 0 x >words 2>&1
same "by hand: words that are missing" "1 Usage: dmfilemapd <file_descriptor> <group_id> <abs_path> inode|path [<foreground> [<log_level>]]" "$? $(cat words)"
holds "no daemon is left" no_daemon
check "the file system is nobody's" umount m
/luksmith/dmsetup remove d2
same "as many answers" "$(ls cases/peer | wc -l)" "$(ls cases/ours | wc -l)"
check "there were enough" test "$alike" -gt 100
finish
