# `luksmith dm` with --json: each verb over devices with ordinary and hostile names. What it writes goes to /share/out, a file each,
# where tests/vm/json.rs reads it: `index` has a line for each, with its exit code and its label.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
modprobe -a loop dm-mod dm-crypt dm-zero
key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
truncate -s 32M disk && losetup /dev/loop0 disk
dm=/luksmith/dmsetup
out=/root/json && mkdir -p $out
step() {
  local label=$1
  shift
  /luksmith/luksmith dm "$@" --json >$out/$label.json 2>$out/$label.err </dev/null
  echo "$? $label" >>$out/index
}
step nothing ls
step nothing-table table
step nothing-info info
step nothing-rows info -c
step nothing-tree ls --tree
step create create lin -u UUID-1 --table "0 4096 linear /dev/loop0 0
4096 8 zero"
step create-verbose create -v more --table "0 8 zero"
$dm create secret -u CRYPT-PLAIN-secret --table "0 4096 crypt aes-xts-plain64 $key 0 /dev/loop0 8192"
$dm create vg-home -u LVM-0000000000000000000000000000000000000000000000000000000000000000 --table "0 8 linear /dev/mapper/lin 0"
# What the kernel takes as it is: a quote, a backslash, control characters, and what is no UTF-8.
n=0
for name in 'a "quoted" name' 'back\slash' $'two\nlines' $'\e[31mred' $'\xff\xfe' 'ü 😀' '{"a":1}' $'\xc2\x9b2J'; do
  n=$((n + 1))
  $dm create --manglename none -u "odd-$n $name" --notable "$name" || fail "no device is made: $name"
done
step ls ls
step ls-target ls --target crypt
step ls-tree ls --tree
step info info
step info-one info lin
step info-uuid info -u UUID-1
step info-rows info -c
step info-all info -c -o all -O -name lin vg-home
step info-select info -c -o name,open,uuid -S 'name=lin'
step info-count info -c --count 3 --interval 1 -o name
step deps deps vg-home
step deps-all deps
step table table
step table-one table secret
step table-keys table --showkeys secret
step table-target table --target crypt
step table-concise table --concise
step load load secret --table "0 4096 crypt aes-xts-plain64 $key 0 /dev/loop0 16"
step table-inactive table --inactive secret
step clear clear secret
step status status
step measure measure lin
step wait wait lin 99
step splitname splitname vg--a-lv-layer
step targets targets
step target-version target-version linear zero
step version version
step suspend suspend lin
step resume resume -v lin
step message message lin 0 @stats_list
step mangle mangle lin
step mknodes mknodes lin
step setgeometry setgeometry lin 1 2 3 0
step stats-create stats create --segments --alias al --precise --bounds 1ms,2ms lin
step stats-create-areas stats create --areas 2 secret
dd if=/dev/mapper/secret of=/dev/null bs=64k count=4 iflag=direct status=none
step stats-list stats list
step stats-histogram stats list --histogram
step stats-print stats print --allregions
step stats-report stats report
step stats-report-all stats report -o all --count 2
step stats-group-gone stats ungroup --groupid 0 lin
step stats-group stats group --regions 0,1 lin
step stats-clear stats clear --allregions lin
step stats-delete stats delete --allregions --alldevices
step stats-none stats list
step cookie udevcreatecookie
step flags udevflags 0x00630000
step cookies udevcookies
step complete-all udevcomplete_all -y
step no-answer udevcomplete_all
step rename rename more other
step remove remove other
# What fails.
step fail-info info nosuch
step fail-table table nosuch
step fail-remove remove nosuch
step fail-create create lin --table "0 8 nosuchtarget"
step fail-table-one table lin nosuch
step fail-message message lin 0 nosuch
step fail-field info -c -o nosuch
# Names that are in the wrong form have no mangled name, as dmsetup has it: the other rows are there all the same.
step fail-all info -c -o all
step fail-target target-version nosuch
step fail-stats stats list nosuch
step fail-region stats print --regionid 9 lin
step fail-cookie udevcomplete nosuch
# What means nothing is answered on standard error alone.
step none-verb nosuch
step none-words targets x
step none-option ls --nosuch
step none-exec ls --exec echo
step none-number info -j 1
same "no terminal acts on a complaint" "" "$(grep -l $'\e' $out/*.err)"
same "each has its line" "$(ls $out/*.json | wc -l)" "$(grep -c . <$out/index)"
check "dmsetup has no such option" sh -c "$dm ls --json 2>&1 | grep -q \"unrecognized option '--json'\""
$dm remove_all
cp $out/* /share/out/
finish
