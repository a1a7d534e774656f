# Where a new volume's data start on disks whose physical sectors do not start where their logical ones do: both tools format, and
# the dumps must name the same offset and the same size of sectors. And devices that take no header, no lock or no write.
. /share/guest/lib.sh
P='--pbkdf pbkdf2 --pbkdf-force-iterations 1000'
printf pw >key

# disk OPTIONS...: a new one of scsi_debug, as $disk.
disk() {
  modprobe -r scsi_debug 2>/dev/null
  modprobe scsi_debug delay=0 "$@" || { fail "no disk with $*"; return 1; }
  within 60 new_disk || { fail "no node for a disk with $*"; return 1; }
}
new_disk() {
  local path
  for path in /sys/block/sd*; do
    [ -e "$path" ] && grep -q scsi_debug "$path/device/model" && disk=/dev/${path##*/} && [ -b "$disk" ] && return
  done
  return 1
}
# placed TOOL WORDS...: what a format by it says of data and sectors.
placed() {
  local side=$1
  shift
  dd if=/dev/zero of=$disk bs=1M count=1 2>/dev/null
  $side cryptsetup luksFormat -q $P "$@" $disk key 2>&1 || echo "exit $?"
  peer cryptsetup luksDump $disk | grep -E 'Payload offset|^\s+(offset|sector):'
}
compare() {
  local words
  for words in '--type luks1' '--type luks2'; do
    same "$1, $words" "$(placed peer $words)" "$(placed ours $words)"
  done
}

for lowest in 1 7; do
  disk dev_size_mb=24 physblk_exp=3 lowest_aligned=$lowest && compare "lowest_aligned=$lowest"
done
# An alignment that is asked for is not shifted.
same "lowest_aligned=7, --align-payload" "$(placed peer --type luks1 --align-payload 8)" "$(placed ours --type luks1 --align-payload 8)"
# Sizes as a RAID may have them, of which 1 MiB is no multiple.
disk dev_size_mb=24 opt_blks=1536 opt_xferlen_exp=7 && compare "best size of 768 KiB"
# A partition that starts at an odd sector of a disk with large physical ones.
if disk dev_size_mb=24 physblk_exp=3; then
  # One entry of a DOS partition table: from sector 2049, 40960 sectors.
  printf '\0\0\0\0\203\0\0\0\001\010\0\0\0\240\0\0' | dd of=$disk bs=1 seek=446 conv=notrunc 2>/dev/null
  printf '\125\252' | dd of=$disk bs=1 seek=510 conv=notrunc 2>/dev/null
  sync; blockdev --rereadpt $disk
  whole=$disk disk=${disk}1
  within 60 test -b $disk || fail "no partition"
  compare "partition at sector 2049"
  disk=$whole
  same "16 MiB and what is missing to a physical sector" 16780800 \
    "$(disk=${whole}1 placed ours --type luks2 | awk '/offset:/ { print $2 }')"
fi

# A header cannot be rewritten on a zoned disk; elsewhere it can be.
if disk dev_size_mb=32 zbc=host-managed zone_size_mb=4 zone_nr_conv=0; then
  for type in luks1 luks2; do
    said=$(ours cryptsetup luksFormat -q $P --type $type $disk key 2>&1)
    same "$type on a zoned disk" 1 $?
    same "$type on a zoned disk, in words" "Zoned device $disk cannot be used for LUKS header." "$said"
    peer cryptsetup luksFormat -q $P --type $type $disk key >/dev/null 2>&1
    same "$type on a zoned disk, their code" 1 $?
    truncate -s 20M header
    check "$type on a zoned disk, its header elsewhere" /luksmith/cryptsetup luksFormat -q $P --type $type --header header $disk key
    rm -f header
  done
fi
modprobe -r scsi_debug

# A lock folder that leads elsewhere locks nothing, and a device that is read-only is told before anything is tried.
truncate -s 20M image
check "a volume" /luksmith/cryptsetup luksFormat -q $P image key
loop=$(losetup -f --show image) read_only=$(losetup -f --show -r image)
rm -rf /run/cryptsetup && mkdir /run/elsewhere && ln -s elsewhere /run/cryptsetup
for side in peer ours; do
  $side cryptsetup isLuks $loop >out 2>&1
  same "the code of a lock folder that is a link, by $side" 5 $?
done
check "its words" grep -q "Failed to acquire read lock on device $loop" out
same "what it leads to" '' "$(ls /run/elsewhere)"
check "without locks" /luksmith/cryptsetup isLuks --disable-locks $loop
rm /run/cryptsetup
said=$(ours cryptsetup luksErase -q $read_only 2>&1)
same "the code of a read-only device" 1 $?
same "its words" "Cannot write to device $read_only, permission denied." "$said"
check "its key" /luksmith/cryptsetup open --test-passphrase $read_only --key-file key

# An option that the kernel is too old for is named, and one that it knows is set. (6.1 is too old; it came with 6.10.)
words=$(ours cryptsetup open --key-file key --perf-high_priority $loop fast 2>&1; echo "[$?]")
if [ "$(printf '%s\n' 6.10 "$(uname -r)" | sort -V | head -1)" = 6.10 ]; then
  same "an option that the kernel knows" "[0] high_priority" "$words $(peer dmsetup table fast | grep -o high_priority)"
  ours cryptsetup close fast
else
  same "an option that the kernel is too old for" "Requested dm-crypt performance options are not supported. [1]" "$(echo $words)"
fi
losetup -d $loop $read_only
finish
