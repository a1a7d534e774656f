# The device-mapper layer (examples/dm.rs, in /luksmith/luksmith) beside Debian's dmsetup, in both directions.
. /share/guest/lib.sh
dm() { timeout $hang /luksmith/luksmith "$@"; }
# holds NAME FUNCTION...: as `check`, for a function of this script.
holds() {
  local name=$1
  shift
  if "$@" >/dev/null 2>&1; then pass "$name"; else fail "$name: $*"; fi
}
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
no_cookie() { ! ipcs -s | grep -qi 0x0d4d; }
gone() { ! dmsetup info "$1" >/dev/null 2>&1 && [ ! -e "/dev/mapper/$1" ] && [ ! -L "/dev/mapper/$1" ]; }
node() { # how dmsetup and we leave it: a link of udev's, or a node
  stat -L -c '%F %t' "/dev/mapper/$1"
  stat -c '%F' "/dev/mapper/$1"
}
truncate -s 8M disk
loop=$(losetup -f --show disk)
devno=$(stat -c '%Hr:%Lr' "$loop")
key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
linear="0 8192 linear $devno 0"
crypt="0 8192 crypt aes-xts-plain64 $key 0 $devno 0 1 allow_discards"

same "version" "$(dmsetup version | sed -n 's/Driver version: *//p')" "$(dm version)"
same "targets" "$(dmsetup targets)" "$(dm targets)"
[ "$UDEV" = 1 ] && want=Sync || want='Off(NotRunning)'
same "udev policy" "$want" "$(dm policy)"
same "no devices" "" "$(dm list)"

# What we make, dmsetup sees; what dmsetup makes looks the same.
[ "$UDEV" = 1 ] && want=Done || want=NotAwaited
for t in linear crypt; do
  table=${!t}
  dmsetup create theirs -u "TEST-$t" --table "$table"
  # Without udevd Debian's dmsetup makes no node by itself; ours does.
  [ "$UDEV" = 1 ] || dmsetup mknodes theirs
  their_table=$(dmsetup table --showkeys theirs) their_info=$(dmsetup info theirs) their_node=$(node theirs)
  same "$t: our table of theirs" "$their_table" "$(dm showkeys theirs)"
  same "$t: our table without keys" "$(dmsetup table theirs)" "$(dm table theirs)"
  same "$t: our status of theirs" "$(dmsetup status theirs)" "$(dm status theirs)"
  same "$t: our deps of theirs" "$devno" "$(dm deps theirs)"
  same "$t: by UUID" theirs "$(dm uuid "TEST-$t")"
  same "$t: our list" "theirs:$(stat -L -c '%Hr:%Lr' /dev/mapper/theirs):0:TEST-$t" "$(dm list)"
  same "$t: we remove theirs" "Removed($want)" "$(dm remove theirs)"
  holds "$t: theirs is gone" gone theirs
  same "$t: create" "$want" "$(dm create ours "TEST-$t" "$table")"
  same "$t: their table of ours" "$their_table" "$(dmsetup table --showkeys ours)"
  same "$t: their info of ours" "${their_info//theirs/ours}" "$(dmsetup info ours)"
  same "$t: node" "$their_node" "$(node ours)"
  same "$t: owner" "$(stat -L -c '%U:%G %a' /dev/mapper/ours)" "root:disk 660"
  check "$t: they remove ours" dmsetup remove ours
  # It leaves the node behind too.
  [ "$UDEV" = 1 ] || dmsetup mknodes
  holds "$t: ours is gone" gone ours
done
holds "no cookie after creating" no_cookie 

# Errors, and nothing left of a creation that failed.
dm create a "" "$linear" >/dev/null
out=$(dm create a "" "$linear" 2>&1)
same "a name that is taken" "create ioctl on a failed: Device or resource busy" "$out"
out=$(dm create b "" "0 8192 crypt nosuch-xts-plain64 $key 0 $devno 0" 2>&1)
case $out in "reload ioctl on b (25"[0-9]:[0-9]*") failed: "*) pass "a table that is refused" ;; *) fail "a table that is refused: $out" ;; esac
holds "nothing is left of it" gone b
same "no such device" "info ioctl on c failed: No such device or address" "$(dm info c 2>&1)"
out=$(dm create 'odd name' "" "$linear" && dmsetup info -c --noheadings -o name 'odd name')
same "a name with a space" "$want odd name" "$(echo $out)"
check "a mangled node" test -b '/dev/mapper/odd\x20name'
holds "it is removed" dm remove 'odd name'

# Suspend, load, resume, rename, wait, message.
holds "suspend" dm suspend a
same "suspended" Suspended "$(dmsetup info -c --noheadings -o suspended a)"
holds "load" dm load a "0 4096 linear $devno 8"
same "both tables" "LIsw" "$(dmsetup info -c --noheadings -o attr a)"
same "resume" "$want" "$(dm resume a)"
same "the new table" "0 4096 linear $devno 8" "$(dmsetup table a)"
dmsetup suspend a; dmsetup load a --table "$linear"; dmsetup resume a
dm wait a 0 200000 >waited &
# polls: one of ours is in the system call poll.
polls() {
  local process
  for process in /proc/[0-9]*; do
    [ "$(cat "$process/comm" 2>/dev/null)" = luksmith ] && grep -qs '^7 ' "$process/syscall" && return
  done
  return 1
}
within 60 polls
dmsetup rename a other; wait $!
same "wait hears of a new name" "Some(1)" "$(cat waited)"
same "the list has the event" 1 "$(dm list | cut -d: -f4)"
dmsetup rename other a
same "wait ends in time" None "$(dm wait a 99 300)"
same "rename" "$want" "$(dm rename a a2)"
check "the old node is gone" test ! -e /dev/mapper/a
check "the new node is there" test -b /dev/mapper/a2
holds "set a UUID" dm set-uuid a2 LATE-1
same "the UUID" LATE-1 "$(dmsetup info -c --noheadings -o uuid a2)"
dm message a2 0 '@stats_create - 1' >answer
same "a message with an answer" 'Text([48])' "$(cat answer)"

# Busy, holders, deferred removal.
dm create upper "" "0 4096 linear $(stat -L -c '%Hr:%Lr' /dev/mapper/a2) 0" >/dev/null
out=$(dm remove a2 2>&1)
same "busy" "remove ioctl on a2 failed: Device or resource busy" "$out"
check "the holder is named" sh -c "/luksmith/luksmith holders a2 | grep -q '^device upper (dm-'"
hold /dev/mapper/upper
check "the process is named" sh -c "/luksmith/luksmith holders upper | grep -q '^process $holder (sleep)'"
same "deferred" Deferred "$(dm remove upper deferred)"
same "deferred is seen" "deferred_remove: true," "$(dm info upper | grep -o 'deferred.*')"
holds "cancel" dm cancel upper
same "cancelled" "deferred_remove: false," "$(dm info upper | grep -o 'deferred.*')"
same "deferred again" Deferred "$(dm remove upper deferred)"
release
unmapped() { ! dmsetup info "$1" >/dev/null 2>&1; }
holds "it goes with its last user" within 60 unmapped upper
(sleep 1 </dev/mapper/a2) &
same "remove with retry" "Removed($want)" "$(dm remove a2 retry)"
wait
holds "no cookie so far" no_cookie 

# Nobody completes the cookie: bounded, and the node is there.
udevd_is_gone() { ! grep -q udevd /proc/[0-9]*/comm 2>/dev/null; }
if [ "$UDEV" = 1 ]; then udevadm control --exit; holds "udevd ends" within 60 udevd_is_gone; fi
same "a cookie that nobody completes" "TimedOut(1s)" "$(dm create-unheard u "$linear")"
check "its node is there" test -b /dev/mapper/u
check "it is removed" env DM_DISABLE_UDEV=1 /luksmith/luksmith remove u
holds "its node is gone" gone u
holds "no cookie at all" no_cookie 

# Devices enough for the list to grow its buffer (64 KiB). Long UUIDs fill it.
uuid=$(printf 'U%.0s' $(seq 120))
for i in $(seq 450); do echo "many-$i,$uuid-$i,,rw,0 8 zero"; done | tr '\n' ';' | sed 's/;$//' >concise
DM_DISABLE_UDEV=1 dmsetup create --concise "$(cat concise)"
same "450 devices" "$(dmsetup info -c --noheadings -o name,uuid --separator ::0: | sort)" \
  "$(dm list | sed -E 's/^([^:]*):[0-9]+:[0-9]+:([0-9]+):/\1::\2:/' | sort)"
DM_DISABLE_UDEV=1 dmsetup remove_all

# No control node, no /dev/mapper: both are made.
rm -rf /dev/mapper
holds "without a control node" dm version
check "it was made" test -c /dev/mapper/control

# Signatures, against blkid.
for fs in ext4 ext3 ext2; do
  truncate -s 8M img; mkfs.ext4 -q -t $fs -F img
  same "signature of $fs" "'$(blkid -p -o value -s TYPE img)' superblock signature at 1080" "$(dm probe img)"
  rm img
done
finish
