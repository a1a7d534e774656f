# Reports of dmsetup, ours beside Debian's, over devices of several kinds: `info -c` with each field, sorted, selected and laid out in
# every way, and `splitname`. Text by text and code by code.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
differences=0 cells=0
modprobe loop; modprobe dm-mod; modprobe dm-snapshot 2>/dev/null; modprobe dm-crypt
truncate -s 16M a b
A=$(losetup --show -f a) B=$(losetup --show -f b)
mk() { dmsetup create "$@" || fail "create $*"; }
mk plain --table "0 2048 linear $A 0"
mk two --uuid CRYPT-PLAIN-two --table "0 1024 linear $A 4096
1024 1024 linear $B 0"
mk stacked --uuid LVM-abcdefghijklmnopqrstuvwxyz012345ABCDEFGHIJKLMNOPQRSTUVWXYZ678901 --table "0 1024 linear $(dmsetup info -c --noheadings -o devno plain) 0"
mk vg-lv_one --uuid LVM-abcdefghijklmnopqrstuvwxyz012345ABCDEFGHIJKLMNOPQRSTUVWXYZ678902 --table "0 1024 striped 2 16 $A 8192 $B 8192"
mk my--vg-my--lv-real --uuid LVM-abcdefghijklmnopqrstuvwxyz012345ABCDEFGHIJKLMNOPQRSTUVWXYZ678903-real --table "0 8 zero"
mk ro --readonly --table "0 1024 linear $A 16384"
mk empty --notable
mk secret --table "0 1024 crypt aes-xts-plain64 $(printf '0%.0s' $(seq 64)) 0 $B 16384"
dmsetup suspend two
dmsetup reload plain --table "0 4096 linear $A 0"
dmsetup create 'with space' --table "0 8 error"
[ "$UDEV" = 1 ] || dmsetup mknodes
exec 8</dev/mapper/stacked

try() { # DMSETUP-ARGUMENTS...
  local p o pc oc
  cells=$((cells + 1))
  # The two streams apart: which comes first on a terminal depends on buffers.
  p=$(peer dmsetup "$@" 2>err); pc=$?
  p+=$'\n'$(cat err)
  o=$(ours dmsetup "$@" 2>err); oc=$?
  o+=$'\n'$(cat err)
  # Programs call themselves as they were called.
  if [ "${p//\/usr\/sbin\//}" = "${o//\/luksmith\//}" ] && [ $pc = $oc ]; then pass "$*"; else
    differences=$((differences + 1))
    fail "$*: exit $pc, ours $oc"
    diff <(echo "$p") <(echo "$o") | head -8 | sed 's/^/    /'
  fi
}
try info -c
try info -c plain
try info -c plain two
try info -c nosuch
try info -C
try info --columns
fields='name mangled_name unmangled_name uuid mangled_uuid unmangled_uuid read_ahead blkdevname attr tables_loaded suspended readonly devno major minor open segments events device_count devs_used devnos_used blkdevs_used device_ref_count names_using_dev devnos_using_dev subsystem vg_name lv_name lv_layer'
for f in $fields; do
  try info -c -o "$f"
  try info -c --noheadings -o "name,$f" -O "$f"
done
# Not compared: `-o all`, for which Debian's shows nothing at all, and ours every field.
for o in help '?' +uuid -uuid name,nosuch '' , name,name info_all deps_all name_all 'selected,name'; do try info -c -o "$o"; done
for O in name -name +name,-minor -major,minor open,-name nosuch ''; do try info -c -o name,minor,open -O "$O"; done
while IFS= read -r s; do try info -c -o name,minor,open,segments,uuid -S "$s"; done <<'END'
name=plain
name!=plain
name=~^.*l
name!~l
minor>2
minor>=2 && minor<5
open=1||segments=2
(open=1||segments=2)&&name=~s
!(name=plain)
uuid=""
uuid=~LVM
segments>1
name=[plain,two]
name=nosuch
minor=x
nosuch=1
name
name==plain
help
name='with space'
name="plain"
name=~'^(two|ro)$'
minor>1M
selected=1
END
try info -c --nameprefixes
try info -c --nameprefixes --noheadings --rows -o name,uuid,subsystem
try info -c --nameprefixes --unquoted --noheadings -o name,open
try info -c --rows
try info -c --rows --noheadings
try info -c --separator '|'
try info -c --separator '' -o name,open
try info -c --noheadings --separator ' ' -o name,uuid
try info -c --noheadings --nameprefixes --separator '
' -o name,open plain
try info -c -u CRYPT-PLAIN-two -o name
try info -c -j "$(dmsetup info -c --noheadings -o major plain)" -m "$(dmsetup info -c --noheadings -o minor plain)" -o name
try info -c --inactive -o name,segments
try info -c --noopencount -o name,open
try info -c --count 1 -o name
try info -c --count 2 --interval 1 -o name
try info -c --count -1
try info -c --interval 0
try info -c --noheadings -o blkdevname,devnos_used,suspended,name -- plain
try info -c --noheadings -o subsystem,unmangled_name -j 999 -m 1
try info -j 252 -m 999 -c --nameprefixes --noheadings --rows -o name,uuid,suspended
for n in vg-lv my--vg-my--lv-real a-b-c-d plain 'x-y z' -a ''; do
  try splitname "$n"
  try splitname --nameprefixes --noheadings --rows "$n"
  try splitname -o lv_name "$n" LVM
  try splitname "$n" CRYPT
done
try splitname -o all a-b
try splitname -o nosuch a-b
exec 8<&-
for d in secret 'with space' empty ro my--vg-my--lv-real vg-lv_one stacked two plain; do dmsetup remove "$d"; done
losetup -d "$A"; losetup -d "$B"
echo "$cells reports, $differences differences"
finish
