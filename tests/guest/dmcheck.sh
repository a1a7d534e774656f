# The decoded state of each target that this kernel has, and the verdict of `check`, in good and in bad states: fill levels, actions and
# counters are those that Debian's lvm2 reports of the same devices.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
modprobe -a loop dm-mod dm-zero dm-delay dm-flakey dm-dust dm-switch dm-unstripe dm-log-writes dm-era dm-clone dm-snapshot dm-mirror \
  dm-raid raid1 raid456 dm-thin-pool dm-cache dm-cache-smq dm-writecache dm-verity dm-integrity dm-multipath dm-service-time \
  dm-queue-length dm-crypt crc32c 2>/dev/null
luksmith() { timeout $hang /luksmith/luksmith "$@"; }
# Debian's dmsetup leaves nodes to udevd.
dmsetup() {
  /usr/sbin/dmsetup "$@" || return
  case $1 in create | remove) /usr/sbin/dmsetup mknodes ;; esac
}
lvm() {
  timeout 120 /sbin/lvm "$@" --config \
    'global{thin_check_executable="" cache_check_executable=""} activation{monitoring=0 udev_sync=0 udev_rules=0 verify_udev_operations=1}'
}
key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
devno() { stat -L -c '%Hr:%Lr' "$1"; }
# disks SIZE: four empty ones.
disks() {
  local i
  dmsetup remove_all --force 2>/dev/null
  for i in 0 1 2 3; do
    losetup -d /dev/loop$i 2>/dev/null
    rm -f disk$i && truncate -s "$1" disk$i && losetup /dev/loop$i disk$i
  done
  A=$(devno /dev/loop0) B=$(devno /dev/loop1) C=$(devno /dev/loop2) D=$(devno /dev/loop3)
}
# has NAME TEXT PATTERN: the text must have a line that fits.
has() { if grep -q -e "$3" <<<"$2"; then pass "$1"; else fail "$1: no $3 in: $2"; fi; }
hasnt() { if grep -q -e "$3" <<<"$2"; then fail "$1: $3 in: $2"; else pass "$1"; fi; }
# is NAME CODE PATTERN WORDS...: `check` ends with the code, and says what fits.
is() {
  local name=$1 code=$2 pattern=$3 out
  shift 3
  out=$(luksmith check "$@" 2>&1)
  same "$name: exit" "$code" $?
  has "$name" "$out" "$pattern"
}

same "check of nothing" "" "$(luksmith check 2>&1)"
luksmith check >/dev/null
same "check of nothing: exit" 0 $?
is "check of a device that is not there" 3 '^nosuch: unknown: there is no such device$' nosuch
has "in JSON" "$(luksmith check nosuch --json)" '"result":{"devices":\[{"name":"nosuch","verdict":"unknown","reasons":\[{"verdict":"unknown","text":"there is no such device"}\]}\]}'
is "an option that is wrong" 3 'Option --map is not allowed' --map
is "thresholds the wrong way round" 3 'must not be above' --warning 90 --critical 80

# Each target on its own: all that the kernel says is understood.
disks 32M
dd if=/dev/zero of=/dev/loop0 bs=1M count=4 status=none
root=$(veritysetup format --data-blocks=1024 --salt=00ff --uuid=11111111-2222-3333-4444-555555555555 /dev/loop0 /dev/loop1 |
  sed -n 's/^Root hash:\s*//p')
count=0
while read -r name table; do
  case $name in verity) flags=-r ;; *) flags= && dd if=/dev/zero of=/dev/loop2 bs=1M count=1 status=none ;; esac
  if ! dmsetup create t $flags --table "0 8192 $table" 2>/dev/null; then
    # Each is a module of the kernels that are tested, but for these.
    case $name in dust | clone) [ ! -d "/sys/module/dm_$name" ] && continue ;; esac
    fail "$name: it cannot be made: $table"
    continue
  fi
  count=$((count + 1))
  text=$(luksmith status t)
  has "$name: its target" "$text" "^  target:  ${table%% *}, 8192 sectors (4.0 MiB) from sector 0$"
  case $name in delay*) ;; *) hasnt "$name: all is understood" "$text" unread ;; esac
  hasnt "$name: the table too" "$(luksmith table --json t)" unread
  case $name in
  error) is "$name: check" 1 '^t: warning: a part of it only returns errors$' t ;;
  *) is "$name: check" 0 '^t: sound$' t ;;
  esac
  same "$name: the status of dmsetup stays" "$(peer dmsetup status t)" "$(ours dmsetup status t)"
  dmsetup remove t
done <<EOF
linear linear $A 8
striped striped 2 32 $A 0 $B 0
unstriped unstriped 2 128 1 $A 0
zero zero
error error
delay delay $A 0 1
delay3 delay $A 0 0 $B 8 1 $A 16 2
flakey flakey $A 0 60 0 1 drop_writes
dust dust $D 0 512
switch switch 2 64 0 $A 0 $B 0
log-writes log-writes $D $C
crypt crypt aes-xts-plain64 $key 0 $D 0
snapshot snapshot $A $C P 16
snapshot-n snapshot $A $C N 16
snapshot-origin snapshot-origin $A
mirror mirror core 2 1024 nosync 2 $D 0 $C 0 1 handle_errors
raid raid raid1 2 0 nosync 2 - $D - $C
thin-pool thin-pool $C $D 128 0 1 skip_block_zeroing
cache cache $C $D $A 128 1 writethrough smq 0
writecache writecache s $D $C 4096 2 high_watermark 60
era era $C $D 128
clone clone $C $D $A 8 1 no_hydration
integrity integrity $C 0 - D 1 internal_hash:crc32c
verity verity 1 $A $B 4096 4096 1024 1 sha256 $root 00ff
multipath multipath 0 0 2 1 service-time 0 1 2 $A 1 1 queue-length 0 1 1 $D 1
EOF
check "most targets were made" test $count -ge 22

# What is wrong with a device.
disks 32M
dmsetup create t --table "0 8192 linear $A 0"
dmsetup suspend t
is "suspended" 1 '^t: warning: suspended$' t
has "in the tree" "$(luksmith tree)" '^t ([0-9:]*) linear \[warning: suspended\]$'
has "in the list on a terminal" "$(script -qc '/luksmith/luksmith list' /dev/null </dev/null | tr -d '\r')" '^t: warning: suspended$'
same "not in the list in a pipe" "t	n/a	kernel	n/a	/dev/mapper/t" "$(luksmith list)"
has "in the list as JSON" "$(luksmith list --json)" '"targets":\["linear"\],"verdict":"warning","reasons":\[{"verdict":"warning","text":"suspended"}\]'
has "in the tree as JSON" "$(luksmith tree --json)" '"verdict":"warning","reasons":\[{"verdict":"warning","text":"suspended"}\]'
dmsetup resume t
dmsetup load t --table "0 8192 linear $B 0"
is "a table that is not live" 1 '^t: warning: a table is loaded that is not live$' t
dmsetup clear t
is "sound again" 0 '^t: sound$' t
dmsetup remove t
dmsetup create t --notable
is "no table" 1 '^t: warning: has no live table$' t
has "status without a table" "$(luksmith status t)" '^  verdict: warning$'
dmsetup remove t

dmsetup create t --table "0 8192 crypt aes-ecb $key 0 $A 0"
is "a weak cipher" 1 '^t: warning: the cipher aes-ecb shows which sectors' t
hasnt "no key in any text" "$(luksmith status t; luksmith status --json t; luksmith check; luksmith table --json t)" "${key:0:12}"
dmsetup remove t
dmsetup create t --table "0 8192 crypt aes-xts-plain64 $key 0 $A 0"
is "a key in the table" 0 '^  note: the key is not in the kernel' t
has "the lines of cryptsetup stay" "$(luksmith status t)" '^  cipher:  aes-xts-plain64$'
has "more below" "$(luksmith status t)" '^    key location: dm-crypt$'
hasnt "under cryptsetup's name nothing is added" "$(ours cryptsetup status t)" 'verdict\|target'
same "under cryptsetup's name: the lines" "$(peer cryptsetup status t | cut -d: -f1)" "$(ours cryptsetup status t | cut -d: -f1)"
dmsetup remove t

# A leg that fails.
for i in 2 3; do dd if=/dev/zero of=/dev/loop$i bs=1M count=1 conv=fsync status=none; done
for i in a b; do dmsetup create $i --table "0 16384 linear $([ $i = a ] && echo $A || echo $B) 0"; done
dmsetup create t --table "0 16384 raid raid1 4 0 nosync region_size 1024 2 $C $(devno /dev/mapper/a) $D $(devno /dev/mapper/b)"
is "an array" 0 '^t: sound$' t
dmsetup suspend --noflush --nolockfs b && dmsetup load b --table "0 16384 error" && dmsetup resume b
dd if=/dev/zero of=/dev/mapper/t bs=64k count=4 conv=fsync status=none
within 30 sh -c '/usr/sbin/dmsetup status t | grep -q AD'
is "a failed leg" 2 '^t: critical: leg 1 (b ([0-9:]*)): failed$' t
has "status of it" "$(luksmith status t)" '^    leg 1: device b ([0-9:]*), letter D, health failed$'
dmsetup remove t
dmsetup create t --table "0 16384 mirror core 2 1024 nosync 2 $(devno /dev/mapper/a) 0 $(devno /dev/mapper/b) 0"
# With handle_errors, writes would wait for somebody to handle the first one.
dd if=/dev/zero of=/dev/mapper/t bs=64k count=4 oflag=direct status=none
within 30 sh -c '/usr/sbin/dmsetup status t | grep -q AD'
is "a failed leg of a mirror" 2 '^t: critical: leg 1 (b ([0-9:]*)): failed: a write failed' t
dmsetup remove t
dmsetup remove a
dmsetup remove b

# Paths.
dmsetup create t --table "0 8192 multipath 0 0 1 1 service-time 0 2 2 $A 1 1 $B 1 1"
dmsetup message t 0 "fail_path $A"
is "a failed path" 2 "^t: critical: the path loop0 ($A) has failed$" t
dmsetup message t 0 "fail_path $B"
is "no path" 2 'no path is left' t
dmsetup message t 0 "reinstate_path $A" && dmsetup message t 0 "reinstate_path $B"
is "paths are back" 0 '^t: sound$' t
dmsetup remove t

# A hash tree that does not fit.
dd if=/dev/zero of=/dev/loop0 bs=1M count=4 conv=fsync status=none
root=$(veritysetup format --data-blocks=1024 --salt=00ff /dev/loop0 /dev/loop1 | sed -n 's/^Root hash:\s*//p')
echo bad | dd of=/dev/loop0 bs=4096 seek=7 conv=notrunc,fsync status=none
dmsetup create t -r --table "0 8192 verity 1 $A $B 4096 4096 1024 1 sha256 $root 00ff"
is "verity that was not read" 0 '^t: sound$' t
dd if=/dev/mapper/t of=/dev/null bs=4096 status=none 2>/dev/null
is "a corrupted block" 2 '^t: critical: corrupted' t
dmsetup remove t

# Tags that do not fit.
dd if=/dev/zero of=/dev/loop2 bs=1M count=32 conv=fsync status=none
dmsetup create t --table "0 8192 integrity $C 0 - D 1 internal_hash:crc32c"
dd if=/dev/zero of=/dev/mapper/t bs=64k count=64 conv=fsync status=none
printf 'NEEDLE%.0s' {1..200} | dd of=/dev/mapper/t bs=4096 seek=3 conv=fsync,sync status=none
dmsetup remove t
at=$(/usr/bin/gnu-grep -abo -m1 NEEDLE disk2 | head -1 | cut -d: -f1)
printf X | dd of=/dev/loop2 bs=1 seek="$at" conv=notrunc,fsync status=none
dmsetup create t --table "0 8192 integrity $C 0 - D 1 internal_hash:crc32c"
dd if=/dev/mapper/t of=/dev/null bs=4096 count=16 status=none 2>/dev/null
is "a mismatch" 2 '^t: critical: [0-9]* integrity mismatches$' t
dmsetup remove t

# Old-style snapshots: full, overflown, merged.
dmsetup create o --table "0 8192 linear $A 0"
dd if=/dev/zero of=/dev/loop1 bs=1M count=1 conv=fsync status=none
dmsetup create cow --table "0 2048 linear $B 0"
dmsetup create t --table "0 8192 snapshot $(devno /dev/mapper/o) $(devno /dev/mapper/cow) PO 16"
dd if=/dev/urandom of=/dev/mapper/t bs=8k count=102 conv=fsync status=none
is "a snapshot that is nearly full" 1 '^t: warning: snapshot 8[0-9].[0-9]* % full (limit: 80 %)$' t
is "for other thresholds" 2 '^t: critical: snapshot' t --critical 81
is "for higher ones" 0 '^t: sound$' t --warning 90
dd if=/dev/urandom of=/dev/mapper/t bs=8k count=200 conv=fsync status=none 2>/dev/null
is "an overflown snapshot" 2 '^t: critical: the snapshot is lost: overflow$' t
dmsetup remove t
dmsetup remove cow
dmsetup remove o

# A pool that fills up.
dd if=/dev/zero of=/dev/loop2 bs=1M count=4 conv=fsync status=none
dmsetup create pool --table "0 20480 thin-pool $C $B 128 0 2 skip_block_zeroing error_if_no_space"
dmsetup message pool 0 "create_thin 0"
dmsetup create t --table "0 40960 thin $(devno /dev/mapper/pool) 0"
dd if=/dev/zero of=/dev/mapper/t bs=64k count=128 conv=fsync status=none
is "a pool on its threshold" 1 '^pool: warning: data 80.00 % full (limit: 80 %)$' pool
has "its status" "$(luksmith status pool)" '^    data: 80.00 %, 8.0 MiB of 10.0 MiB, 128 of 160 blocks$'
has "status of the thin volume" "$(luksmith status t)" '^    data: 40.00 %, 8.0 MiB of 20.0 MiB, 16384 of 40960 sectors$'
dd if=/dev/zero of=/dev/mapper/t bs=64k count=160 conv=fsync status=none
is "a full one" 2 '^pool: critical: .*data 100.00 % full' pool
dd if=/dev/zero of=/dev/mapper/t bs=64k count=170 conv=fsync status=none 2>/dev/null
is "one out of space" 2 '^pool: critical: out of data space; data 100.00 % full' pool
is "all devices: the worst counts" 2 '^t: sound$'
has "in JSON" "$(luksmith check --json pool)" '^{"schema_version":1,"command":"check","result":{"devices":\[{"name":"pool","verdict":"critical","reasons":\[{"verdict":"critical","text":"out of data space"}'
dmsetup remove t
dmsetup remove pool

# lvm2's own reports.
disks 128M
lvm pvcreate -qq -y /dev/loop0 /dev/loop1 /dev/loop2 /dev/loop3 && lvm vgcreate -qq -s 1M vg /dev/loop0 /dev/loop1 /dev/loop2 /dev/loop3 ||
  fail "a volume group is made"
# make NAME WORDS...: a logical volume.
make() {
  local name=$1
  shift
  lvm lvcreate -qq -y -n "$name" "$@" vg >make.log 2>&1 || fail "$name is made: $(cat make.log)"
}
# field DEVICE KEY: a number or a text of the decoded state.
field() { luksmith status --json "$1" | tr -d '\n' | sed -n 's/.*"'"$2"'":"\{0,1\}\([^",}]*\).*/\1/p'; }
# equal VOLUME DEVICE LVM2S-FIELD OURS: both say the same; numbers as numbers.
equal() {
  local theirs mine again
  # A cache writes its dirty blocks back between the two questions.
  for again in 1 2 3; do
    theirs=$(lvm lvs --noheadings --nosuffix --units b -o "$3" "vg/$1" 2>/dev/null | tr -d ' ')
    mine=$(field "$2" "$4")
    if [ -n "$theirs" ] && awk -v a="$theirs" -v b="$mine" 'BEGIN { exit !(a == b || (a + 0 == a && a + 0 == b + 0 && b != "")) }'; then
      pass "$1: $3 is $theirs"
      return
    fi
  done
  fail "$1: $3 is '$theirs' for lvm2, and $4 '$mine' here"
}
make pool --type thin-pool -L 16M --poolmetadatasize 2M
lvm lvcreate -qq -y -n thin -V 16M --thinpool vg/pool
make base -L 16M
lvm lvcreate -qq -y -s -n snap -L 4M vg/base
make raid --type raid1 -m1 -L 8M
make raid5 --type raid5 -i 2 -L 8M
make mirror --type mirror -m1 --mirrorlog core -L 8M
make cached -L 16M
make fast --type cache-pool -L 8M --poolmetadatasize 8M
lvm lvconvert -qq -y --type cache --cachemode writeback --cachepool vg/fast vg/cached >/dev/null
lvm vgmknodes -qq vg >/dev/null 2>&1
for round in empty some more dirty; do
  case $round in
  some)
    dd if=/dev/urandom of=/dev/mapper/vg-thin bs=64k count=37 conv=fsync status=none
    dd if=/dev/urandom of=/dev/mapper/vg-snap bs=64k count=9 conv=fsync status=none
    dd if=/dev/urandom of=/dev/mapper/vg-cached bs=64k count=30 conv=fsync status=none
    ;;
  more)
    dd if=/dev/urandom of=/dev/mapper/vg-thin bs=64k count=211 conv=fsync status=none
    dd if=/dev/urandom of=/dev/mapper/vg-base bs=64k seek=40 count=17 conv=fsync status=none
    for i in 1 2 3; do dd if=/dev/mapper/vg-cached of=/dev/null bs=64k count=50 iflag=direct status=none; done
    lvm lvchange -qq --syncaction check vg/raid
    ;;
  dirty) dd if=/dev/urandom of=/dev/mapper/vg-cached bs=64k count=50 oflag=direct status=none ;;
  esac
  sync
  within 60 sh -c '! /usr/sbin/dmsetup status | grep -qE "(resync|recover|check) "'
  echo "-- $round"
  equal pool vg-pool-tpool data_percent data_percent
  equal pool vg-pool-tpool metadata_percent metadata_percent
  equal pool vg-pool-tpool transaction_id transaction_id
  equal thin vg-thin data_percent data_percent
  equal snap vg-snap snap_percent snap_percent
  equal snap vg-snap data_percent data_percent
  equal raid vg-raid copy_percent copy_percent
  equal raid vg-raid raid_sync_action sync_action
  equal raid vg-raid raid_mismatch_count mismatch_count
  equal raid5 vg-raid5 copy_percent copy_percent
  equal mirror vg-mirror copy_percent copy_percent
  equal cached vg-cached data_percent data_percent
  equal cached vg-cached metadata_percent metadata_percent
  equal cached vg-cached copy_percent copy_percent
  for counter in total_blocks:data_total_blocks used_blocks:data_used_blocks dirty_blocks:dirty_blocks read_hits:read_hits \
    read_misses:read_misses write_hits:write_hits write_misses:write_misses; do
    equal cached vg-cached cache_${counter%:*} ${counter#*:}
  done
done
has "names of LVM in the reasons" "$(luksmith check --warning 1)" '^vg-snap: warning: snapshot '
lvm lvconvert -qq --merge -b vg/snap >/dev/null 2>&1
lvm vgchange -qq -an vg >/dev/null && lvm vgremove -qq -ff -y vg >/dev/null
finish
