# Any device of the device-mapper under our own name: `list`, `info`, `deps`, `table`, `status` and `tree`, as text and as JSON.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
modprobe -a loop dm-mod dm-crypt ext4 dm-zero
luksmith() { timeout $hang /luksmith/luksmith "$@"; }
settle() { [ "$UDEV" = 0 ] || udevadm settle --timeout=30; }
key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
json() { luksmith "$@" --json | tr -d '\n'; }
# has NAME TEXT PATTERN: the text must have a line that fits.
has() { if grep -q -e "$3" <<<"$2"; then pass "$1"; else fail "$1: no $3 in: $2"; fi; }
hasnt() { if grep -q -e "$3" <<<"$2"; then fail "$1: $3 in: $2"; else pass "$1"; fi; }

same "tree of nothing" "" "$(luksmith tree 2>&1)"
same "list of nothing" "" "$(luksmith list 2>&1)"
mkdir -p /mnt/home /mnt/other
truncate -s 64M "image.img"
# A partition with a LUKS volume with a logical volume with a file system; and a second user of the same disk.
# The table of partitions: each with its type, first sector and length.
le() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
part() { printf '\\0\\0\\0\\0\\x83\\0\\0\\0'; le $1; le $2; }
printf "$(part 2048 65536)$(part 67584 63488)" | dd of=image.img bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of=image.img bs=1 seek=510 conv=notrunc status=none
L=$(losetup -P --show -f image.img)
settle
P=${L}p1 Q=${L}p2
for part in 1 2; do
  # Without udevd nobody makes the partitions' nodes.
  name=${L#/dev/}p$part
  [ -e /dev/$name ] || mknod /dev/$name b $(tr : ' ' </sys/class/block/$name/dev)
done
echo -n secret | luksmith luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --luks2-keyslots-size 512k --luks2-metadata-size 16k "$P" -
echo -n secret | luksmith open "$P" vault
ours dmsetup create vg-home -u LVM-0000000000000000000000000000000000000000000000000000000000000000 --table "0 40960 linear /dev/mapper/vault 0"
ours dmsetup create 'odd name' --table "0 8 linear $Q 0"$'\n'"8 8 zero"
ours dmsetup create bare -u CRYPT-PLAIN-bare --table "0 4096 crypt aes-xts-plain64 $key 0 $Q 2048"
ours dmsetup create over --table "0 20480 linear $Q 30000"
mkfs.ext4 -q /dev/mapper/vg-home 2>/dev/null
mount /dev/mapper/vg-home /mnt/home && mount --bind /mnt/home /mnt/other
settle

for verb in info deps table; do
  same "$verb" "$(peer dmsetup $verb)" "$(luksmith $verb)"
  same "$verb vg-home" "$(peer dmsetup $verb vg-home)" "$(luksmith $verb vg-home)"
  same "$verb of a path and a name" "$(peer dmsetup $verb vault "odd name")" "$(luksmith $verb /dev/mapper/vault "odd name")"
  luksmith $verb nosuch >/dev/null 2>&1
  same "$verb of nothing: exit" 1 $?
  has "$verb --json of nothing" "$(json $verb nosuch 2>/dev/null)" '"code":1,.*"message":"Device nosuch does not exist."'
  same "$verb of nothing: text" "Device nosuch does not exist." "$(luksmith $verb nosuch 2>&1)"
  has "$verb --json of one and nothing" "$(json $verb vault nosuch 2>/dev/null)" '"error":.*"result":{"devices":\[{"name":"vault"'
  has "$verb --json of all" "$(json $verb)" '"name":"vg-home"'
  check "$verb --json is JSON" sh -c "/luksmith/luksmith $verb --json | grep -q '^{.*}$'"
done
hasnt "no key is shown" "$(luksmith table; json table; json info; json list; json tree; json status bare)" $key
same "status of any device" "/dev/mapper/vg-home is active and is in use.
  verdict: sound
  target:  linear, 40960 sectors (20.0 MiB) from sector 0
    device: vault ($(ours dmsetup info -c --noheadings -o devno vault))
    offset: 0 sectors (0 B)" "$(luksmith status vg-home)"
has "status of a volume" "$(luksmith status vault)" '^  type:    LUKS2'
has "status under cryptsetup's name" "$(ours cryptsetup status vg-home)" '^  type:    n/a'
has "status --json of nothing" "$(json status nosuch 2>/dev/null)" '"code":4,.*"message":"/dev/mapper/nosuch is inactive."'
same "info of what is no name under dmsetup" "$(peer dmsetup info nosuch 2>&1)" "$(ours dmsetup info nosuch 2>&1)"
has "status --json" "$(json status vg-home)" '"targets":\[{"start_sectors":0,"length_sectors":40960,"type":"linear","status":"","device":"[0-9:]*","offset_sectors":0}\]'
has "info --json: the volume" "$(json info vault)" '"type":"LUKS2"'
has "info --json" "$(json info vault)" '"uses":\[{"device_number":"[0-9:]*","kernel_name":"loop0p1","name":null}\]'
has "deps --json" "$(json deps vg-home)" '"uses":\[{"device_number":"[0-9:]*","kernel_name":"dm-0","name":"vault"}\]'
has "table --json" "$(json table vault)" '"parameters":"aes-xts-plain64 :64:logon:cryptsetup:'
has "table --json: its fields" "$(json table vault)" '"cipher":"aes-xts-plain64","key_bits":512,"key_location":"keyring"'
has "table --json without its key" "$(json table bare)" '"parameters":"aes-xts-plain64 0* 0 '

list=$(luksmith list)
has "list has volumes" "$list" '^vault	LUKS2	kernel	/dev/loop0p1	/dev/mapper/vault$'
has "list has others" "$list" '^vg-home	LVM	kernel	n/a	/dev/mapper/vg-home$'
has "list has those of nobody" "$list" '^odd.x20name	n/a	kernel	n/a	'
has "list --json" "$(json list)" '"name":"vg-home","type":"LVM","backend":"kernel","device":null,"path":"/dev/mapper/vg-home","size_sectors":40960,"targets":\["linear"\],"verdict":"sound","reasons":\[\]'
has "list --json of a volume" "$(json list)" '"name":"vault","type":"LUKS2","backend":"kernel","device":"/dev/loop0p1".*"targets":\["crypt"\]'
has "list --json of those of nobody" "$(json list)" '"name":"odd.*name","type":null,.*"targets":\["linear","zero"\]'
person=$(script -qc '/luksmith/luksmith list' /dev/null </dev/null | tr -d '\r')
has "list on a terminal: its heading" "$person" '^NAME  *TYPE  *SIZE  TARGET  *BACKEND  DEVICE  *PATH$'
has "list on a terminal" "$person" '^vg-home  *LVM  *20.0 MiB  linear  *kernel  *n/a  */dev/mapper/vg-home$'
# A volume on a device of the device-mapper names that by its name.
echo -n secret | luksmith luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --luks2-keyslots-size 512k --luks2-metadata-size 16k /dev/mapper/over -
echo -n secret | luksmith open /dev/mapper/over inner
device() { grep '^  device:'; }
same "status of a volume on a mapping" "$(peer cryptsetup status inner | device)" "$(ours cryptsetup status inner | device)"
has "its device" "$(luksmith status inner)" '^  device:  /dev/mapper/over$'
has "its device in JSON" "$(json status inner)" '"device":"/dev/mapper/over"'
has "its device in the list" "$(luksmith list)" '^inner	LUKS2	kernel	/dev/mapper/over	/dev/mapper/inner$'
# What a name is to be found by.
for name in a/b . .. $(printf 'n%.0s' {1..128}); do
  echo -n secret | luksmith open /dev/mapper/over "$name" >/dev/null 2>&1
  same "open as ${name:0:9}" 1 $?
done
same "status by its path" "$(luksmith status inner)" "$(luksmith status /dev/mapper/inner)"
close=$(ours cryptsetup close --debug inner)
has "close --debug: the ioctls" "$close" '^# dm remove inner \[\]: ok$'
has "close --debug: what is decided" "$close" '^# udev: '
hasnt "close --debug: no key" "$close" $key
open=$(echo -n secret | ours cryptsetup open --debug /dev/mapper/over inner)
has "open --debug: the table is loaded, and not shown" "$open" '^# dm reload .*securedata\]: ok$'
has "open --debug: what is mapped" "$open" '^# Mapping inner on /dev/mapper/over .*: cipher aes-xts-plain64, '
hasnt "open --debug: no table" "$open" '0 [0-9]* crypt'
luksmith close /dev/mapper/inner
# A header that is elsewhere tells the type where it is named.
echo -n secret | ours cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --header hdr.img /dev/mapper/over -
echo -n secret | ours cryptsetup open --header hdr.img /dev/mapper/over inner
dd if=/dev/zero of=/dev/mapper/over bs=64k count=2 conv=fsync status=none
kind() { grep '^  type:'; }
for option in "" "--header hdr.img"; do
  same "status of a detached volume $option" "$(peer cryptsetup status $option inner | kind)" "$(ours cryptsetup status $option inner | kind)"
done
has "our own says what the mapping is" "$(luksmith status inner)" '^  type:    LUKS2$'
luksmith close inner
ours dmsetup remove over

number() { ours dmsetup info -c --noheadings -o devno "$1"; }
wanted="bare ($(number bare)) PLAIN
 \`-loop0p2 (259:1) partition
    \`-loop0 (7:0) disk
odd\\x20name ($(number 'odd name')) linear,zero
 \`-loop0p2 (259:1) partition
    \`-loop0 (7:0) disk
/mnt/home, /mnt/other ext4
 \`-vg-home ($(number vg-home)) LVM vg/home
    \`-vault ($(number vault)) LUKS2
       \`-loop0p1 (259:0) partition
          \`-loop0 (7:0) disk"
file=$(readlink -f image.img)
wanted=${wanted//loop0 (7:0) disk/loop0 (7:0) loop
X\`-$file file}
# A file stands one step below its loop device.
wanted=$(awk '/^X/ { sub(/^X/, ""); indent = previous; sub(/`-.*/, "", indent); print indent "   " $0; next } { previous = $0; print }' <<<"$wanted")
same "tree" "$wanted" "$(LC_ALL=C luksmith tree)"
hasnt "no colour in a pipe" "$(luksmith tree)" $'\033'
coloured=$(TERM=linux script -qc '/luksmith/luksmith tree' /dev/null </dev/null)
has "colour on a terminal" "$coloured" $'\033\\[1;32mvault\033\\[0m'
hasnt "none where it is not wanted" "$(NO_COLOR=1 script -qc '/luksmith/luksmith tree' /dev/null </dev/null)" $'\033\\['
has "lines in UTF-8" "$(env LC_ALL=C.UTF-8 /luksmith/luksmith tree)" '└─vault'
has "tree --json" "$(json tree)" '"layer":"file_system","name":"/mnt/home, /mnt/other","type":"ext4","device_number":null,"uuid":null,"uses":\['
has "tree --json to the file" "$(json tree)" '"layer":"file","name":"'"$file"
umount /mnt/other /mnt/home
if mkswap /dev/mapper/vg-home >/dev/null 2>&1 && swapon /dev/mapper/vg-home; then
  has "swap" "$(LC_ALL=C luksmith tree)" '^swap$'
  swapoff /dev/mapper/vg-home
else
  fail "swap: vg-home cannot be used as swap space"
fi
has "tree --json of those of nobody" "$(json tree)" '"type":null,.*"targets":\["linear","zero"\]'
ours dmsetup remove bare 'odd name' vg-home
luksmith close vault
same "all is gone" "" "$(luksmith list)"
finish
