# What becomes of ciphers on a real kernel beside Debian's cryptsetup: the null cipher, texts with more than a name, names of drivers,
# a kernel without dm-crypt, and volumes with integrity protection, which only cryptsetup makes.
. /share/guest/lib.sh
cd /tmp
head -c 20 /dev/zero >k
ours=/luksmith/cryptsetup peer=/usr/sbin/cryptsetup
FAST="--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
truncate -s 40M disk
loop=$(losetup -f --show disk)

for maker in ours peer; do
  check "null: $maker formats" ${!maker} luksFormat -q --type luks2 $FAST -c null $loop k
  for tool in peer ours; do
    check "null: $tool opens what $maker made" ${!tool} open -q $loop x --key-file k
    same "null: $tool's table" "cipher_null-ecb -" "$(dmsetup table --showkeys x | cut -d' ' -f4,5)"
    rounds=
    for verb in luksSuspend luksResume; do
      ${!tool} $verb x --key-file k >/dev/null 2>&1
      rounds+="$verb: $? $(dmsetup info x | grep State) "
    done
    if [ $tool = peer ]; then theirs=$rounds; else same "null: suspended and resumed as there" "$theirs" "$rounds"; fi
    echo "NOTE $rounds"
    [ "$(dmsetup info x | grep -c SUSPENDED)" = 0 ] || dmsetup resume x
    check "null: $tool closes" ${!tool} close x
  done
done

# Opened by both to the same data.
for c in aes-xts-plain64:sha256 'capi:xts(aes)-plain64' aes-lrw-benbi:x; do
  size=512
  [ $c != aes-lrw-benbi:x ] || size=384
  for tool in peer ours; do
    check "plain: $tool maps $c" ${!tool} open --type plain -q -c "$c" -s $size --key-file /dev/zero $loop x
    head -c 65536 /dev/mapper/x | sha256sum >$tool
    ${!tool} close x
  done
  same "plain: $c shows the same" "$(cat peer)" "$(cat ours)"
done
for c in 'capi:xts(ecb(aes-generic))-plain64' 'capi:xts-aes-aesni-plain64'; do
  $ours open --type plain -q -c "$c" -s 512 --key-file /dev/zero $loop x >out 2>&1
  same "plain: $c is refused" "1 No known cipher specification pattern detected." "$? $(cat out)"
done

# With integrity protection: what luksResume could not let run again is not frozen, and nothing is left behind.
if $peer luksFormat -q --type luks2 $FAST --integrity hmac-sha256 --integrity-no-wipe $loop k; then
  check "integrity: cryptsetup opens" $peer open $loop x --key-file k
  $peer status x >theirs
  $ours status x >mine
  same "integrity: its device" "$(grep device: theirs)" "$(grep device: mine)"
  $ours luksSuspend x >out 2>&1
  same "integrity: not suspended" "1 0" "$? $(dmsetup info x | grep -c SUSPENDED)"
  check "integrity: closed" $ours close x
  same "integrity: nothing is left" "No devices found" "$(dmsetup ls)"
else
  fail "cryptsetup makes no volume with integrity protection"
fi

# A kernel without dm-crypt.
dir=$(dirname "$(find /lib/modules -name 'dm-crypt.ko*')")
modprobe -r dm-crypt && mv "$dir"/dm-crypt.ko* /tmp/ && depmod
$ours open --type plain -q -c aes-xts-plain64 -s 512 --key-file /dev/zero $loop x >out 2>&1
check "no dm-crypt: the module is named" grep -q dm_crypt out
check "no dm-crypt: a volume can be made" $ours luksFormat -q $FAST $loop k
same "no dm-crypt: nothing is left" "No devices found" "$(dmsetup ls)"
finish
