# lvm2, Debian's dmsetup, ours, Debian's cryptsetup and ours at work at once, ROUNDS times each: no cookie is lost, no wait runs
# out, no node and no semaphore is left. ARGS: ROUNDS, `peer` or `ours` for the program that udev's rules call, and LIMIT: no round
# begins that many seconds after the first. It ends with how many rounds each made.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
rounds=${1:-20} rules=${2:-peer} limit=${3:-100000}
settle() { [ "$UDEV" = 0 ] || udevadm settle --timeout=120; }
nodes() { find /dev/mapper /dev/disk/by-id /dev/vg 2>/dev/null | grep -v -e 'dm-uuid-' | sort; }
for i in 0 1 2 3; do truncate -s 64M disk$i && losetup /dev/loop$i disk$i; done
/sbin/lvm pvcreate -qq -y /dev/loop0 && /sbin/lvm vgcreate -qq vg /dev/loop0 >/dev/null || fail "a volume group"
cp /usr/sbin/dmsetup /root/dmsetup
if [ "$rules" = ours ]; then mount --bind /luksmith/luksmith /usr/sbin/dmsetup; fi
for i in 2 3; do
  echo -n pass | /usr/sbin/cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/loop$i - || fail "a volume"
done
settle
nodes >before

# repeat NAME FUNCTION: calls FUNCTION once for each round, and counts what fails.
repeat() {
  local name=$1 i bad=0
  for ((i = 1; i <= rounds && SECONDS - start < limit; i++)); do
    "$2" "$i" >>"log.$name" 2>&1 || { bad=$((bad + 1)); echo "round $i failed" >>"log.$name"; }
  done
  echo "$bad" >"bad.$name"
  echo "$name $((i - 1))" >"made.$name"
}
# Without udevd lvm2 is to make its nodes itself.
config='activation{monitoring=0}'
[ "$UDEV" = 1 ] || config='activation{monitoring=0 udev_sync=0 udev_rules=0 verify_udev_operations=1}'
by_lvm() {
  /sbin/lvm lvcreate --config "$config" -qq -y -Wn -Zn -n lv -L 4M vg && test -b /dev/mapper/vg-lv &&
    /sbin/lvm lvremove --config "$config" -qq -y vg/lv
}
# Without udevd Debian's dmsetup leaves the nodes to its verb mknodes. (For all devices at once that is no good beside others, who
# may have made or removed one since it looked.)
nodes_of() { # PROGRAM NAME...
  local program=$1
  shift
  [ "$UDEV" = 1 ] || [ "$program" != /root/dmsetup ] || "$program" mknodes "$@"
}
by_dmsetup() { # PROGRAM NAME LOOP
  local table
  table="0 8192 linear $(stat -c '%Hr:%Lr' "$3") 0"
  "$1" create "$2" -u "TEST-$2" --table "$table" && nodes_of "$1" "$2" && test -b "/dev/mapper/$2" &&
    "$1" suspend "$2" && "$1" load "$2" --table "$table" && "$1" resume "$2" && "$1" rename "$2" "$2-new" &&
    nodes_of "$1" "$2" "$2-new" && test -b "/dev/mapper/$2-new" && "$1" remove --retry "$2-new" && nodes_of "$1" "$2-new"
}
peer_dmsetup() { by_dmsetup /root/dmsetup theirs /dev/loop1; }
our_dmsetup() { by_dmsetup /luksmith/dmsetup ours /dev/loop1; }
by_cryptsetup() { # PROGRAM LOOP NAME
  echo -n pass | "$1" open -q --key-file - "$2" "$3" && test -b "/dev/mapper/$3" && "$1" close "$3" || {
    # The next rounds are to begin with nothing open.
    "$1" close "$3"
    return 1
  }
}
peer_cryptsetup() { by_cryptsetup /usr/sbin/cryptsetup /dev/loop2 their-secret; }
our_cryptsetup() { by_cryptsetup /luksmith/cryptsetup /dev/loop3 our-secret; }

start=$SECONDS
actors="by_lvm peer_dmsetup our_dmsetup peer_cryptsetup our_cryptsetup"
for actor in $actors; do repeat "$actor" "$actor" & done
wait
echo "$rounds rounds wanted of 5 programs; made in $((SECONDS - start)) s, udev's rules with $rules dmsetup:" $(cat made.*)
settle
for actor in $actors; do
  same "$actor: failed rounds" 0 "$(cat "bad.$actor")"
  [ "$(cat "bad.$actor")" = 0 ] || head -5 "log.$actor"
  # Debian's tools also tell of what is no failure: a device in use by udev's rules, a volume that is not zeroed.
  case $actor in our_*) about=. ;; *) about='cookie\|semaphore\|semid\|timed out' ;; esac
  same "$actor: nothing to complain of" "" "$(grep "$about" "log.$actor" | sort | uniq -c | head -5)"
done
[ "$UDEV" = 1 ] || /root/dmsetup mknodes
nodes >after
same "no node is left" "$(cat before)" "$(cat after)"
same "no device is left" "No devices found" "$(/root/dmsetup ls)"
same "no cookie is left" "" "$(ipcs -s | grep -i 0x0d4d)"
same "no semaphore is left" "0" "$(ipcs -s | grep -c ' 600 ')"
finish
