# The same session with Debian's dmsetup and with ours, for each type of target: every verb's output and exit code compared text
# by text. Ends with a table, verbs by targets: `=` where both answered alike, a letter where they differ and why that is meant,
# `X` where they must not. ARGS: the targets, all of them where none is named.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
modprobe -a dm-zero dm-delay dm-flakey dm-snapshot dm-mirror dm-raid raid1 dm-thin-pool dm-cache dm-cache-smq dm-verity \
  dm-integrity dm-multipath dm-service-time dm-crypt 2>/dev/null
all_targets="linear striped error zero crypt snapshot-origin snapshot snapshot-merge mirror raid thin-pool thin cache delay flakey
  verity integrity multipath"
targets=${*:-$all_targets}
key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
peer_dm=/usr/sbin/dmsetup ours_dm=/luksmith/dmsetup

settle() { [ "$UDEV" = 0 ] || udevadm settle --timeout=30; }
devno() { stat -L -c '%Hr:%Lr' "$1"; }

# Four disks, as good as new before each session.
disks() {
  local i
  $peer_dm remove_all --force 2>/dev/null
  settle
  for i in 0 1 2 3; do
    losetup -d /dev/loop$i 2>/dev/null
    rm -f disk$i && truncate -s 32M disk$i && losetup /dev/loop$i disk$i
  done
  settle
  A=$(devno /dev/loop0) B=$(devno /dev/loop1) C=$(devno /dev/loop2) D=$(devno /dev/loop3)
}

# build TARGET: what the target stands on, by Debian's tools; sets `table`, `flags` to load it with, and `talk` to a message that
# it understands.
build() {
  talk="help" flags=
  case $1 in
  linear) table="0 8192 linear $A 8" ;;
  striped) table="0 8192 striped 2 32 $A 0 $B 0" ;;
  error) table="0 8192 error" ;;
  zero) table="0 8192 zero" ;;
  crypt) table="0 8192 crypt aes-xts-plain64 $key 0 $A 0 1 allow_discards" ;;
  snapshot-origin) table="0 8192 snapshot-origin $A" ;;
  snapshot | snapshot-merge) table="0 8192 $1 $A $B P 16" ;;
  mirror) table="0 8192 mirror core 2 1024 nosync 2 $A 0 $B 0" ;;
  raid) table="0 8192 raid raid1 2 0 nosync 2 - $A - $B" talk="frozen" ;;
  thin-pool) table="0 8192 thin-pool $A $B 128 0 1 skip_block_zeroing" talk="create_thin 0" ;;
  thin)
    $peer_dm create pool --table "0 8192 thin-pool $A $B 128 0 1 skip_block_zeroing"
    $peer_dm message pool 0 "create_thin 0"
    settle
    table="0 8192 thin $($peer_dm info -c --noheadings -o devno pool) 0"
    ;;
  cache) table="0 8192 cache $C $B $A 128 1 writethrough smq 0" talk="migration_threshold 4096" ;;
  delay) table="0 8192 delay $A 0 1" ;;
  flakey) table="0 8192 flakey $A 0 60 0" ;;
  verity)
    dd if=/dev/zero of=/dev/loop0 bs=1M count=4 status=none
    local root
    root=$(veritysetup format --data-blocks=1024 --salt=00ff --uuid=11111111-2222-3333-4444-555555555555 /dev/loop0 /dev/loop1 |
      sed -n 's/^Root hash:\s*//p')
    flags=-r
    table="0 8192 verity 1 $A $B 4096 4096 1024 1 sha256 $root 00ff"
    ;;
  integrity) table="0 8192 integrity $A 0 - J 1 internal_hash:hmac(sha256):$key" ;;
  multipath) table="0 8192 multipath 0 0 1 1 service-time 0 1 2 $A 1 1" talk="fail_path $A" ;;
  *) fail "no such target: $1"; return 1 ;;
  esac
}

# step LABEL WORDS...: one call of the tool under test, and what came of it. The label is the verb's row. No process but the tool:
# a session is long, and the machine is slow.
step() {
  local label=$1 file
  shift
  n=$((n + 1))
  printf -v file %s/%03d-%s "$out" $n "$label"
  {
    echo "\$ dmsetup $*"
    "$dm" "$@" <"${input:-/dev/null}" 2>"$file.err"
    echo "exit $?"
  } >"$file"
}

# session DMSETUP FOLDER TARGET: every verb that a device of any target understands.
session() {
  dm=$1 out=$2 n=0
  local t=$3 number
  mkdir -p "$out"
  step create create t -u UUID-1 $flags --table "$table"
  settle
  number=$($peer_dm info -c --noheadings -o devno t)
  step info info t
  step info info -u UUID-1
  step info info -j "${number%:*}" -m "${number#*:}"
  step info info /dev/mapper/t
  step info info
  step info-c info -c
  step info-c info -c --noheadings -o name,uuid,devno,attr,open,segments,events,suspended,readonly t
  step info-c info -c --nameprefixes --noheadings --rows -o name,uuid,suspended -j "${number%:*}" -m "${number#*:}"
  step info-c info -c --separator '|' -O -name -S 'segments=1' -o name,segments,device_count,blkdevs_used,names_using_dev
  step info-count info -c --count 1 --interval 9 -o name,uuid
  step table table
  step table table t
  step table-showkeys table --showkeys t
  step table-concise table --concise
  step table-target table --target "$t"
  step table-target table --target "$t" -- t
  step table-target table --target nosuch t
  step status status
  step status status t
  step status status --noflush -v t
  step status status --target "$t" t
  step measure measure t
  step deps deps
  step deps deps -o devname t
  step deps deps -o blkdevname t
  step ls ls
  step ls ls -o blkdevname
  step ls ls -o devname
  step ls-tree ls --tree
  step ls-tree ls --tree -o blkdevname,uuid,active,open,rw,inverted
  step ls ls --target "$t"
  step ls ls --target "$t" --exec "echo device"
  step message message t 0 $talk
  step message message t 0 @stats_list
  step stats stats create t
  step stats stats create --segments --alias al --precise --bounds 1ms t
  step stats stats list -v t
  step stats stats list --histogram
  step stats stats clear --allregions t
  step stats stats report -o name,obj_type,region_id,region_start,region_len,area_id,program_id t
  step stats stats delete --groupid 1 t
  step stats stats print --regionid 7 t
  step stats stats delete --allregions t
  step setgeometry setgeometry t 4 16 63 0
  step target-version target-version "$t"
  step targets targets
  step version version
  step splitname splitname t LVM
  step suspend suspend t
  step info info t
  step table table t
  step resume resume t
  step suspend suspend --noflush --nolockfs -v t
  step resume resume -v t
  step load load t $flags --table "$table"
  step info info t
  step table-inactive table --inactive t
  step clear clear -v t
  input=$out/table.txt
  echo "$table" >"$input"
  step load reload -r t
  input=
  step info info t
  step clear clear t
  step load load t --table "0 8192 nosuchtarget"
  step wait wait -v t 99
  step wipe_table wipe_table t
  step table table t
  step remove remove nosuch
  step remove remove t
  settle
  step info info t
  step ls ls
  # A new device: the kernel of Debian 12 frees its memory twice (kernel BUG at mm/slub.c) where a device is renamed after a
  # table of it was cleared, and gets another one then, whichever tool asks for that.
  step create create t -r --table "$table"
  step rename rename t u
  settle
  step rename rename u --setuuid UUID-2
  step rename rename u --setuuid UUID-3
  step mknodes mknodes
  step mangle mangle u
  step nodes ls --exec "stat -L -c %n:%F"
  step remove remove u
  settle
  step create create t --notable
  step create create t --notable
  step info info -v t
  step remove remove --force t
  step create-owner create t --uid 1 --gid 6 --mode 0640 --readahead 64 --addnodeoncreate $flags --table "$table"
  settle
  step create-owner info -c --noheadings -o name,read_ahead t
  [ "$UDEV" = 1 ] || [ -e /dev/mapper/t ] || $peer_dm mknodes
  step create-owner ls --exec "stat -L -c %u:%g:%a:%F"
  step remove-deferred remove --deferred t
  settle
  step create create --concise "c1,UUID-1,,ro,${table//,/\\,};c2,,,,0 8 zero,8 8 error"
  settle
  step info info c1 c2
  step table-concise table --concise --showkeys c1 c2
  step remove remove --retry c1 c2
  step remove_all remove_all
  rm "$out/table.txt"
}

# reason LABEL ANSWER: why a difference from dmsetup's answer is meant, as a letter; nothing where none is.
reason() {
  case $1:$2 in
  # a: dmsetup opens a device's node to ask for the read ahead, and complains where there is none. We ask sysfs.
  *:*"/dev/mapper/"*": open failed"*) echo a ;;
  # b: where the old table cannot be had, dmsetup tries to load one of no size in its place. We leave it at the first complaint.
  *:*"table ioctl on"*"reload ioctl on"*) echo b ;;
  # c: without udevd Debian's dmsetup leaves /dev/mapper empty. We make the nodes ourselves.
  nodes:* | create-owner:*"block special file"* | *:*"Device /dev/mapper/t not found"*) [ "$UDEV" = 0 ] && echo c ;;
  # d: dmsetup shows the bounds of a group's histogram, and no bins.
  stats:*"list --histogram"*) echo d ;;
  esac
}

# An answer without the one event of a new mirror or raid. Coming into sync is one, and the kernel counts it only where its worker gets to
# that after the table became active, whichever tool had made the device.
without_the_first_event() {
  sed 's/^\(Event number: *\)[01]$/\1E/
    s/^\(t  .* L--w .* \)[01]\( UUID-1 *\)$/\1E\2/
    s/^\(t:UUID-1:.*:\)[01]:Active:Writeable$/\1E:Active:Writeable/' <<<"$1"
}

declare -A cell
labels=()
rm -rf sessions
for t in $targets; do
  for tool in peer ours; do
    disks
    build "$t" || continue
    settle
    program=${tool}_dm
    session "${!program}" "sessions/$tool/$t" "$t"
  done
  for file in "sessions/peer/$t"/*[a-z]; do
    case $file in *.err) continue ;; esac
    name=${file##*/}
    label=${name#*-}
    [ -n "${cell[$label]+set}" ] || { labels+=("$label"); cell[$label]=1; }
    mark==
    theirs=$(<"$file")$'\n'$(<"$file.err") mine=$(<"sessions/ours/$t/$name")$'\n'$(<"sessions/ours/$t/$name.err")
    if [ "$theirs" != "$mine" ]; then
      mark=$(reason "$label" "$theirs")
      if [[ $t == mirror || $t == raid ]] && [ "$(without_the_first_event "$theirs")" = "$(without_the_first_event "$mine")" ]; then mark=e; fi
      if [ -z "$mark" ]; then
        mark=X
        same "$t: $name" "$theirs" "$mine"
      fi
    fi
    # The worst of a row's calls stands in its cell.
    case ${cell[$label/$t]:-=}$mark in
    X*) ;;
    *=) cell[$label/$t]=${cell[$label/$t]:-=} ;;
    *) cell[$label/$t]=$mark ;;
    esac
  done
  case $(grep -c . <(find "sessions/peer/$t" -type f)) in
  [0-9]) fail "$t: the session is too short" ;;
  *) check "$t: the device was made" grep -q '^exit 0$' "sessions/peer/$t/001-create" ;;
  esac
  check "$t: no key is shown" sh -c "! grep -l $key sessions/ours/$t/*-table sessions/ours/$t/*-table-target sessions/ours/$t/*-status"
done
disks
same "no cookie is left" "" "$(ipcs -s | grep -i 0x0d4d)"

echo
printf '%-16s' verb; for t in $targets; do printf ' %s' "$t"; done; echo
for label in "${labels[@]}"; do
  printf '%-16s' "$label"
  for t in $targets; do printf " %${#t}s" "${cell[$label/$t]:-.}"; done
  echo
done
echo "= alike; a no complaint of a missing node; b no second complaint; c nodes without udevd, with their owner; d a group's bins; e the kernel's count of a mirror's or raid's sync; X differs"
finish
