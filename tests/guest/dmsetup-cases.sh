# What the sessions of dmsetup.sh leave out: names and UUIDs of every kind, mangling, cookies, ways to say which device is meant,
# concise specifications, and failures. The same lines with Debian's dmsetup and with ours: `a` for answers that must be alike, `d`
# with a reason for those that must differ, and do.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
modprobe dm-zero
declare -A reason
parts=${*:-names cookies devices concise selections trees}
settle() { [ "$UDEV" = 0 ] || udevadm settle --timeout=30; }
a() {
  n=$((n + 1))
  local file
  printf -v file 'cases/%s/%03d' "$tool" $n
  {
    echo "\$ dmsetup $*"
    # Nothing here may wait for ever.
    timeout "$limit" "$dm" "$@" <"${input:-/dev/null}" 2>"$file.err"
    echo "exit $?"
  } >"$file"
}
d() {
  reason[$((n + 1))]=$1
  shift
  a "$@"
}
repeated() { printf "$1%.0s" $(seq "$2"); }
# links: the names in /dev/mapper, as an answer of its own.
links() {
  [ "$UDEV" = 1 ] || return 0
  settle
  n=$((n + 1))
  printf -v file 'cases/%s/%03d' "$tool" $n
  { echo "/dev/mapper"; ls /dev/mapper | cat -v; } >"$file"
  : >"$file.err"
}
zero="0 8 zero" limit=300

names() {
  local long127 long128 uuid128 hostile
  long127=$(repeated a 127) long128=$(repeated a 128) uuid128=$(repeated u 128) hostile=$'e\033[31mx\tt\nn\377'
  a create "$long127" -u "$uuid128" --table "$zero"
  a info "$long127"
  a rename "$long127" short
  d "a full stop at the end" rename short "$long128"
  a remove short
  a create "$long128" --table "$zero"
  a create u --table "$zero" -u "u$uuid128"
  a info "$long128"
  a create "$(repeated ' ' 40)" --table "$zero"
  d "no request that the kernel refuses anyway" create "" --table "$zero"
  a create a/b --table "$zero"
  a create /dev/mapper/zz --table "$zero"
  for name in . .. control; do d "would take the place of what /dev/mapper needs" create $name --table "$zero"; done
  if [ "$UDEV" = 1 ]; then d "/dev/mapper went with what took the place of its control node" remove_all; else a remove_all; fi
  a create "a b" -u "u v" --table "$zero"
  a info "a b"
  a info 'a\x20b'
  a info --manglename none 'a\x20b'
  a info --manglename none 'a b'
  a info --manglename hex 'a b'
  a info --manglename hex 'a\x20b'
  a info -u "u v"
  a info -u 'u\x20v'
  for mode in none hex auto; do
    a ls --manglename $mode
    a table --manglename $mode
    a table --concise --manglename $mode
    a deps --manglename $mode
    DM_DEFAULT_NAME_MANGLING_MODE=$mode a ls
  done
  DM_DEFAULT_NAME_MANGLING_MODE=nosuch a ls
  a ls --manglename nosuch
  a create 'c\x20 d' --table "$zero"
  a create e -u 'c\x20 d' --table "$zero"
  a create 'back\slash' --table "$zero"
  a create --manglename none 'n\x202' --table "$zero"
  a ls --manglename none
  links
  a mangle
  a rename "a b" "c d"
  a rename "c d" --setuuid "x y"
  a remove 'c d' 'n 2'
  a remove 'back\slash'
  a create "äöü" --table "$zero"
  a create 'all#+-.:=@_' --table "$zero"
  a ls
  a table
  links
  a remove_all
  links
  a create --manglename none "n 4" -u "U 4" --table "$zero"
  a ls --manglename none
  d "one badly mangled name hides nothing" ls
  a mangle "n 4"
  a mangle --manglename none "n 4"
  a info 'n 4'
  a remove --manglename none 'n 4'
  a create --manglename none "n 5" --table "$zero"
  a mangle
  a remove "n 5"
  a create --manglename hex 'n\x206' --table "$zero"
  d "one badly mangled name hides nothing" ls
  a remove --manglename hex 'n\x206'
  a create "$hostile" --table "$zero"
  d "no terminal acts on a name" ls
  d "no terminal acts on a name" info "$hostile"
  links
  a remove "$hostile"
  a message 'no such' 0 x
  a create 'x y' --table "0 8 nosuchtarget"
  a remove nosuch\ name
}

cookies() {
  local cookie
  if [ "$UDEV" = 0 ]; then
    a udevcreatecookie
    a udevcookies
    a udevcomplete 0xd4d1234
    a udevcomplete 0x1234
    a udevreleasecookie 0xd4d1234
    a udevreleasecookie 0x1
    a create one --udevcookie 0xd4d1234 --table "$zero"
    a remove one
    return
  fi
  cookie=$("$dm" udevcreatecookie)
  a create one --udevcookie "$cookie" --table "$zero"
  DM_UDEV_COOKIE=$cookie a create two --table "$zero"
  DM_UDEV_COOKIE=$cookie a udevreleasecookie
  links
  a udevcookies
  a create three --udevcookie "$cookie" --table "$zero"
  a create three --udevcookie 0x123 --table "$zero"
  a udevreleasecookie 0xd4d9999
  a udevreleasecookie 0x9999
  a udevcomplete 0x9999
  a udevcomplete 0xd4d9999
  a udevcreatecookie
  a udevcomplete_all -y 10
  a udevcomplete_all
  input=$PWD/no
  echo n >no
  a udevcomplete_all
  echo y >no
  a udevcomplete_all
  input=
  a udevcookies
  cookie=$("$dm" udevcreatecookie)
  a remove one two --udevcookie "$cookie"
  a udevreleasecookie "$cookie"
  links
  a create four --noudevsync --table "$zero"
  links
  a rename four five --noudevsync
  links
  a remove five --noudevsync
  links
  a create six --verifyudev --table "$zero"
  a create seven --addnodeoncreate --table "$zero"
  links
  a remove --force six seven
  links
  a create eight --noudevrules --table "$zero"
  [ "$tool" = peer ] || check "a node where udev is not to make it" test -b /dev/mapper/eight
  a remove eight
}

devices() {
  a create a --table "$zero"
  a create b -u UUB --table "$zero"
  a create c --notable
  [ "$UDEV" = 1 ] || /luksmith/dmsetup mknodes
  local devno
  devno=$(/usr/sbin/dmsetup info -c --noheadings -o devno b)
  a info -u UUB
  a info -j "${devno%:*}" -m "${devno#*:}"
  a info a -u UUB
  a info /dev/dm-"${devno#*:}"
  a info /dev/mapper/b
  a info /dev/mapper/../mapper/b
  a info /dev/null
  a info /dev/loop0
  a info /dev/nosuch
  a info ./b
  a info dm-0
  a info -- b
  a table -u nosuch
  a table -j "${devno%:*}" -m 777
  for verb in suspend resume clear deps status remove; do
    a $verb -u nosuch
    a $verb -j "${devno%:*}" -m 777
  done
  a load -u UUB --table "$zero"
  a load -j "${devno%:*}" -m "${devno#*:}" --table "0 16 zero"
  a table --inactive -u UUB
  a load b --table "0 8 nosuchtarget"
  a load -u UUB --table "0 8 nosuchtarget"
  a load b nosuchfile
  a load b --notable
  a suspend -u UUB
  a resume -u UUB
  a info a b
  a info a nosuch b
  a table a b
  a status a nosuch b
  a deps a b
  a message -u UUB 0 @stats_list
  a wait -u UUB 99
  a create a --table "$zero"
  a create d --table "0 8"
  a create d --table "x 8 zero"
  a create d --table "$zero"$'\nbad'
  a create d --table "$zero"$'\n# remark\n\n8 8 error'
  a table d
  # The resume of an empty table makes no event: with udevd, Debian's dmsetup waits for it without end.
  if [ "$UDEV" = 1 ]; then limit=60 d "no wait without end" create e --table ""; else a create e --table ""; fi
  a create f nosuchfile
  echo "$zero" >file
  a create f "$PWD/file"
  input=$PWD/file
  a create g
  input=
  a create h -j "${devno%:*}" -m 77 --table "$zero"
  a info h
  a create i -r --readahead 1024 --table "$zero" -v
  a create j --readahead +8 --table "$zero" -v
  a create k --readahead none --table "$zero" -v
  a table
  # Without udevd, the nodes of another folder than /dev.
  if [ "$UDEV" = 0 ]; then
    mkdir -p other
    DM_DEV_DIR=$PWD/other a mknodes
    DM_DEV_DIR=$PWD/other a info "$PWD/other/mapper/b"
    n=$((n + 1))
    printf -v file 'cases/%s/%03d' "$tool" $n
    { echo "nodes of another folder"; ls other/mapper; } >"$file"
    : >"$file.err"
    rm -rf other
  fi
  a rename a b
  a rename a --setuuid UUB
  a rename a x/y
  d "the kernel takes a name or a UUID here, and we find it by either" rename -u UUB bb
  a remove_all
}

concise() {
  a create --concise "x1,,,,0 8 zero;x2,UUX,,ro,0 8 zero,8 8 error; x3,,88,rw,0 8 zero"
  links
  a table --concise
  a info x2
  a info x3
  a create --concise 'z\,1\;\\,,,,0 8 zero'
  a table --concise
  a create --concise "y1,,,xx,0 8 zero"
  d "what is no number is not taken for 0" create --concise "y1,,x,rw,0 8 zero"
  d "one line instead of what was parsed" create --concise "y1"
  a create --concise "y3,,,rw,0 8 nosuchtarget"
  a create --concise "y4,,,rw,0 8"
  a create --concise ""
  a create --concise a b
  a create --concise "w1,,,,0 8 zero;w1,,,,0 8 zero;w2,,,,0 8 zero"
  a ls
  echo "v1,,,,0 8 zero" >file
  input=$PWD/file
  a create --concise
  input=
  a remove_all
  links
}

# Devices by what is true of them, for verbs that are no reports; and the name of a number.
selections() {
  local number
  a create plain --table "$zero"
  a create two -u UU --table "0 8 error"
  [ "$UDEV" = 1 ] || /luksmith/dmsetup mknodes
  for verb in table status deps measure 'table --concise' suspend resume clear; do
    a $verb -S name=plain
    a $verb -S name=nosuch
    a $verb -S nosuch=1
    a $verb -S uuid=UU
  done
  a info two
  for verb in table status deps; do
    a $verb -S name=plain two
    a $verb -S name=plain plain
  done
  number=$(/usr/sbin/dmsetup info -c --noheadings -o devno two)
  for words in '' "$number" "${number%:*} ${number#*:}" "${number%:*} 777" x '1 2 3'; do
    n=$((n + 1))
    printf -v file 'cases/%s/%03d' "$tool" $n
    { echo "devmap_name $words"; (exec -a devmap_name "$dm" $words) 2>"$file.err"; echo "exit $?"; } >"$file"
  done
  a remove plain two
}

# What stands on what, drawn in each way; with lines on which nothing is to be seen, long ones, and no terminal.
trees() {
  local long=aVeryLongNameForADeviceWhichGoesOnAndOnUntilItIsLongEnough o A B
  truncate -s 1M disk1 disk2
  A=$(losetup --show -f disk1) B=$(losetup --show -f disk2)
  a ls --tree
  a create plain --table "0 2048 linear $A 0"
  a create two -u CRYPT-PLAIN-two --table "0 512 linear $A 512"$'\n'"512 512 linear $B 0"
  [ "$UDEV" = 1 ] || /luksmith/dmsetup mknodes
  a create stacked -u "LVM-$(repeated x 64)" --table "0 512 linear /dev/mapper/plain 0"$'\n'"512 512 linear /dev/mapper/two 0"
  a create nodeps --table "$zero"
  a create -r ro --table "0 512 linear $A 512"
  a create empty --notable
  [ "$UDEV" = 1 ] || /luksmith/dmsetup mknodes
  a create top --table "0 512 linear /dev/mapper/stacked 0"
  a create top2 --table "0 256 linear $B 512"$'\n'"256 256 linear /dev/mapper/stacked 0"
  [ "$UDEV" = 1 ] || /luksmith/dmsetup mknodes
  a create $long -u "U-$long" --table "0 512 linear /dev/mapper/top 0"
  a create 'with space' -u 'ü ä' --table "0 8 error"
  settle
  a suspend two
  a load empty --table "0 8 linear $A 0"
  a ls --tree
  for o in compact inverted nodevice device blkdevname active open uuid ascii utf vt100 rw notrunc devno devname compact,inverted \
    inverted,nodevice nodevice,uuid open,active,rw,uuid blkdevname,uuid,active,open,rw inverted,blkdevname,notrunc uuid,notrunc \
    uuid,active,open,rw,notrunc compact,uuid nosuch active,nosuch , ,active active, devno,active nodevice,device device,nodevice \
    ascii,utf utf,ascii vt100,compact utf,compact compact,notrunc,utf inverted,uuid,open,active inverted,utf,compact \
    nodevice,blkdevname blkdevname,compact a d u n no not b c i o r v as ut uuidx Active; do
    a ls --tree -o $o
  done
  d "a line that was begun is ended" ls --tree -o compact,nodevice
  a ls --tree -o ''
  a ls --tree -v --inactive -S name=plain --noheadings
  a ls --tree --target linear
  a ls --tree --exec 'echo hi'
  a ls --tree plain
  a ls -o active
  a ls -o blkdevname,active
  for o in none hex auto; do a ls --tree --manglename $o -o uuid; done
  terminal
  COLUMNS=40 a ls --tree
  a resume two
  a remove --force 'with space' $long top2 top empty ro nodeps stacked two plain
  losetup -d $A; losetup -d $B
}

# The same on terminals of several widths.
terminal() {
  local width o
  for width in 5 11 20 60 100; do
    for o in ascii,uuid utf,blkdevname vt100,uuid inverted,compact; do
      n=$((n + 1))
      printf -v file 'cases/%s/%03d' "$tool" $n
      TERM=vt100 script -qc "stty rows 25 cols $width <&1; $dm ls --tree -o $o" /dev/null </dev/null >"$file"
      sed -i "1i on $width columns: $o" "$file"
      : >"$file.err"
    done
  done
}

# Every tool finds and leaves the same.
for tool in peer ours; do
  [ $tool = peer ] && dm=/usr/sbin/dmsetup || dm=/luksmith/dmsetup
  mkdir -p cases/$tool
  n=0
  for part in $parts; do
    $part
    rm -rf no file disk1 disk2
    /luksmith/dmsetup remove_all --force
    settle
    rm -f /dev/mapper/[!c]*
    /usr/sbin/dmsetup udevcomplete_all -y >/dev/null
  done
done
masked() { sed -E 's/0x0D4D[0-9A-F]{4}/COOKIE/g; s/0xd4d[0-9a-f]{4}/COOKIE/g; s/cookie value [0-9]+/cookie value N/'; }
alike=0 differ=0
for theirs in cases/peer/*[0-9]; do
  number=${theirs##*/} ours=cases/ours/${theirs##*/}
  number=$((10#$number))
  # Most are alike as they are, and need no process to tell.
  their_text=$(<"$theirs")$'\n'$(<"$theirs.err") our_text=$(<"$ours")$'\n'$(<"$ours.err")
  if [ "$their_text" = "$our_text" ] || [ "$(masked <<<"$their_text")" = "$(masked <<<"$our_text")" ]; then
    alike=$((alike + 1))
    [ -z "${reason[$number]:-}" ] || fail "$(head -1 "$theirs" | cat -v) is to differ (${reason[$number]}), and does not"
  else
    differ=$((differ + 1))
    if [ -n "${reason[$number]:-}" ]; then
      pass "$(head -1 "$theirs" | cat -v | cut -c1-80) differs: ${reason[$number]}"
    else
      same "$(head -1 "$theirs" | cat -v)" "$(cat -v "$theirs" "$theirs.err" | masked)" "$(cat -v "$ours" "$ours.err" | masked)"
    fi
  fi
done
echo "$alike answers alike, $differ differ"
same "as many answers" "$(ls cases/peer | wc -l)" "$(ls cases/ours | wc -l)"
[ $# -gt 0 ] || check "there were enough" test "$alike" -gt 250
if [ "$UDEV" = 1 ]; then
  # The same cookie at the same time, in a time zone that is not UTC.
  cookie=$(/usr/sbin/dmsetup udevcreatecookie)
  export TZ=XYZ-9
  same "times of cookies are local" "$(/usr/sbin/dmsetup udevcookies)" "$(/luksmith/dmsetup udevcookies)"
  unset TZ
  /usr/sbin/dmsetup udevreleasecookie "$cookie"
fi
same "no cookie is left" "" "$(ipcs -s | grep -i 0x0d4d)"
finish
