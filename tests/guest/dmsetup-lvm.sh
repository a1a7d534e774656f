# Logical volumes made by Debian's lvm2: what Debian's dmsetup and ours say of them, asked of the very same devices. With udevd,
# all of it happens twice, the second time with our program in the place of /sbin/dmsetup, which udev's rules call: the links in
# /dev and udev's own records must be the same.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
modprobe -a dm-mirror dm-raid raid1 dm-thin-pool dm-snapshot dm-cache dm-cache-smq 2>/dev/null
key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
# holds NAME FUNCTION...: as `check`, for a function of this script.
holds() {
  local name=$1 out
  shift
  if out=$("$@" 2>&1); then pass "$name"; else fail "$name: $out"; fi
}
settle() { [ "$UDEV" = 0 ] || udevadm settle --timeout=60; }
# Without udevd lvm2 is to make its nodes itself.
nodes=
[ "$UDEV" = 1 ] || nodes='udev_sync=0 udev_rules=0 verify_udev_operations=1'
lvm() { timeout 120 /sbin/lvm "$@" --config "global{thin_check_executable=\"\" cache_check_executable=\"\"} activation{monitoring=0 $nodes}"; }

# fresh: four empty disks.
fresh() {
  local i
  for i in 0 1 2 3; do
    losetup -d /dev/loop$i 2>/dev/null
    rm -f disk$i && truncate -s 64M disk$i && losetup /dev/loop$i disk$i
  done
  settle
}

# volumes: logical volumes of every kind, by lvm2; a device by dmsetup; and an encrypted one by cryptsetup.
volumes() {
  lvm pvcreate -qq -y -u 000000-0000-0000-0000-0000-0000-000001 --norestorefile /dev/loop0 &&
    lvm pvcreate -qq -y -u 000000-0000-0000-0000-0000-0000-000002 --norestorefile /dev/loop1 &&
    lvm vgcreate -qq vg-a /dev/loop0 /dev/loop1 &&
    lvm lvcreate -qq -y -n linear -L 4M vg-a &&
    lvm lvcreate -qq -y -n striped -i 2 -L 8M vg-a &&
    lvm lvcreate -qq -y -s -n snap -L 4M vg-a/linear &&
    lvm lvcreate -qq -y --nosync --type raid1 -m1 -n raid -L 4M vg-a &&
    lvm lvcreate -qq -y --nosync --type mirror -m1 -n mirror --mirrorlog core -L 4M vg-a &&
    lvm lvcreate -qq -y --type thin-pool -n pool -L 8M vg-a &&
    lvm lvcreate -qq -y -n thin -V 8M --thinpool vg-a/pool &&
    /usr/sbin/dmsetup create 'odd name' -u 'TEST-odd uuid' --table "0 8192 linear $(stat -c '%Hr:%Lr' /dev/loop2) 0" &&
    echo $key | /usr/sbin/cryptsetup open -q --type plain -c aes-xts-plain64 -s 256 -h sha256 /dev/loop3 secret &&
    settle &&
    mkfs.ext4 -q -L label -U 11111111-2222-3333-4444-555555555555 /dev/mapper/secret 2>/dev/null &&
    settle
}

# gone: takes all of it down again.
gone() {
  /usr/sbin/cryptsetup close secret
  /usr/sbin/dmsetup remove 'odd name'
  lvm vgchange -qq -an vg-a >/dev/null && lvm vgremove -qq -ff -y vg-a >/dev/null
  settle
  [ "$UDEV" = 1 ] || /luksmith/dmsetup mknodes
  ls /dev/mapper
}

# What an event of lvm2's says for as long as no other one follows. Its last device is closed once more at times before udev
# watches it, and then no event follows, whosever program the rules call.
passing='DM_ACTIVATION|DM_NOSCAN|DM_SUBSYSTEM_UDEV_FLAG0|DM_UDEV_DISABLE_OTHER_RULES_FLAG'
# listening FILE COMMAND...: the command, and in FILE each device that any event meanwhile said such a thing of.
listening() {
  local file=$1 listener rc
  shift
  udevadm monitor --udev --property --subsystem-match=block >events &
  listener=$!
  within $hang grep -q '^UDEV - ' events
  "$@"
  rc=$?
  settle
  kill $listener
  wait $listener 2>/dev/null
  awk -v passing="^($passing)=." '
    /^DM_NAME=/ { name = $0 }
    $0 ~ passing { said[$0] }
    NF == 0 { for (s in said) print name, s; name = ""; delete said }' events | sort -u >"$file"
  return $rc
}

# links: every link that udev made to a mapped device, and what it says of each.
links() {
  find /dev/mapper /dev/disk /dev/vg-a -type l | while read -r link; do echo "$link -> $(readlink "$link")"; done |
    grep -e '-> \(\.\./\)*dm-' | sed -E 's/(LVM-|lvm-)[A-Za-z0-9-]*/\1…/' | sort
  for dm in /sys/class/block/dm-*; do
    # Random and passing values, and what changes with the order of events, are left out.
    udevadm info --query=property --path="$dm" | sed -E 's/(DM_UUID=LVM-|LVM-|lv-uuid|lvm-)[A-Za-z0-9-]*/\1…/g' |
      grep -v -E "USEC_INITIALIZED|DISKSEQ|^($passing)=" | sed 's/^DEVLINKS=/DEVLINKS= /' | tr ' ' '\n' | sort
  done
}

# A state that differs is asked once more: a raid or a mirror may have settled between the two questions.
alike() {
  local theirs mine again
  for again in 1 2; do
    theirs=$(peer dmsetup "$@" 2>&1; echo "exit $?")
    mine=$(ours dmsetup "$@" 2>&1; echo "exit $?")
    case $again$1 in 1status | 1info) [ "$theirs" != "$mine" ] || break ;; *) break ;; esac
    diff <(echo "$theirs") <(echo "$mine") && break
    echo "$*: once more, since they differ"
  done
  same "$*" "$theirs" "$mine"
}

fresh
if [ "$UDEV" = 1 ]; then
  holds "volumes are made" listening said.theirs volumes
else
  holds "volumes are made" volumes
fi
# Debian's mknodes gives a name with a blank a node that none of its verbs finds or removes again; ours is the mangled one.
[ "$UDEV" = 1 ] || ours dmsetup mknodes
for verb in info table status deps ls mangle measure targets; do alike $verb; done
for form in devno devname blkdevname; do alike deps -o $form; alike ls -o $form; done
for target in linear striped snapshot snapshot-origin raid mirror thin-pool thin crypt; do
  alike ls --target $target
  alike table --target $target
  alike status --target $target
done
alike table --concise
alike table --showkeys
alike status --noflush -v
alike info -c
alike info -c --noheadings -o name,uuid,subsystem,vg_name,lv_name,lv_layer
alike info -c -o name,devs_used,blkdevs_used,device_count,device_ref_count,names_using_dev
for name in vg--a-linear vg--a-snap-cow vg--a-pool_tdata 'odd name' secret; do
  alike info "$name"
  alike info -v "$name"
  alike table "$name"
  alike splitname "$name"
  alike info -c --nameprefixes --noheadings --rows -o name,uuid,subsystem "$name"
done
alike info -u "$(peer dmsetup info -c --noheadings -o uuid vg--a-linear)"
alike info -u 'TEST-odd uuid'
alike info /dev/dm-0

if [ "$UDEV" = 1 ]; then
  links >links.theirs
  gone >left.theirs
  fresh
  mount --bind /luksmith/luksmith /usr/sbin/dmsetup
  check "our program stands in for dmsetup" sh -c '/sbin/dmsetup version && cmp /sbin/dmsetup /luksmith/luksmith'
  holds "volumes are made with our program in udev's rules" listening said.ours volumes
  links >links.ours
  # On a busy machine udev hears of a closed device at times, and forgets what the last event said, whosever program it calls: both
  # once more then. What is wrong is so each time.
  for again in 1 2; do
    if cmp -s links.theirs links.ours; then break; fi
    echo "once more, since they differ:"
    diff links.theirs links.ours | grep '^[-+<>]'
    gone >/dev/null
    umount /usr/sbin/dmsetup
    fresh
    holds "volumes are made once more" volumes
    links >links.theirs
    gone >/dev/null
    fresh
    mount --bind /luksmith/luksmith /usr/sbin/dmsetup
    holds "volumes are made once more with our program" volumes
    links >links.ours
  done
  same "links and records of udev's" "$(cat links.theirs)" "$(cat links.ours)"
  same "what events said of devices" "$(cat said.theirs)" "$(cat said.ours)"
  check "events said something" grep -q DM_ACTIVATION=1 said.ours
  check "there were links and records" sh -c '[ $(grep -c "^/dev/mapper/" links.ours) -gt 15 ] && [ $(grep -c ^DM_NAME= links.ours) -gt 15 ]'
  for pattern in '/dev/disk/by-id/dm-name-vg--a-linear ' '/dev/disk/by-id/dm-uuid-CRYPT-PLAIN-secret' '/dev/disk/by-label/label' \
    '/dev/disk/by-uuid/11111111-2222' '/dev/vg-a/thin'; do
    check "link $pattern" grep -q -e "$pattern" links.ours
  done
  gone >left.ours
  same "what is left" "$(cat left.theirs)" "$(cat left.ours)"
  umount /usr/sbin/dmsetup
else
  gone >left
  same "what is left" control "$(cat left)"
fi
same "no cookie is left" "" "$(ipcs -s | grep -i 0x0d4d)"
finish
