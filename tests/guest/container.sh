# One container file, two ways to its data: through the kernel and without it. Two writers at once would destroy it.
. /share/guest/lib.sh
printf 'pw' >k
truncate -s 24M v
luksmith=/luksmith/luksmith
check "format" $luksmith luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 v k
check "open" /luksmith/cryptsetup open -d k v x
printf 'lost' >data
code() { "$@" >out 2>&1; echo $?; }

same "a mapped container is not written to" 5 "$(code $luksmith write -q -d k v data)"
check "why" grep -q 'in use' out
same "nor formatted" 1 "$(code $luksmith luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 v k)"
check "nor converted" sh -c "! $luksmith convert -q --type luks1 v"
check "it is still a volume" $luksmith luksUUID v
check "it can be read" sh -c "$luksmith cat -d k --length 4 v | wc -c | grep -qx 4"
check "close" /luksmith/cryptsetup close x

check "the peer's open" /usr/sbin/cryptsetup open -d k v x
same "nor one that the peer has mapped" 5 "$(code $luksmith write -q -d k v data)"
same "nor formatted" 1 "$(code $luksmith luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 v k)"
check "the peer's close" /usr/sbin/cryptsetup close x

truncate -s 24M w
check "a loop device" losetup -f w
check "one that nobody uses is in nobody's way" $luksmith luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 w k
losetup -D
within 60 loops_are ""

mkfifo pipe
$luksmith write -q -d k v <pipe &
exec 3>pipe
# Not by asking for it, which would keep the writer out.
is_written_to() { grep -q "OFDLCK.* WRITE .*:$(stat -c %i v) " /proc/locks; }
within 60 is_written_to
same "what is being written to is not read" 5 "$(code $luksmith cat -d k --length 4 v)"
same "what is being written to is not mapped" 5 "$(code ours cryptsetup open -d k v x)"
check "why" grep -q 'in use' out
same "nor formatted then" 1 "$(code $luksmith luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 v k)"
within 60 loops_are ""
check "no loop device is left" sh -c '[ -z "$(losetup -a)" ]'
printf 'kept' >&3
exec 3>&-
wait
check "open afterwards" /luksmith/cryptsetup open -d k v x
same "the data" kept "$(head -c 4 /dev/mapper/x)"
check "close afterwards" /luksmith/cryptsetup close x
finish
