# Makes keyslots/src/cipher/dm-crypt.vectors: what dm-crypt of this kernel writes, for every cipher, mode and IV generator that
# it shares with the keyslots crate. No test, since the kernel is the oracle: run scripts/vm --timeout 1800 cipher-vectors.sh
# and keep the lines that start with VECTOR, without that word. Takes ten minutes under emulation.
for m in aes_generic aesni_intel serpent_generic twofish_generic camellia_generic cast5_generic cast6_generic blowfish_generic \
  des_generic xts lrw cbc ecb ctr essiv adiantum chacha_generic streebog_generic sha3_generic blake2b_generic rmd160 crypto_null; do
  modprobe $m || echo "no module $m"
done
gawk 'BEGIN { for (n = 0; n < 8192; n++) printf "%02x", (7 * n + int(n / 256)) % 256 }' | xxd -r -p >plain
truncate -s 8192 disk
losetup /dev/loop0 disk

key() { # BYTES: in hexadecimal
  if [ "$1" = 0 ]; then echo -; else gawk -v len="$1" 'BEGIN { for (n = 0; n < len; n++) printf "%02x", (17 * n + 3) % 256 }'; fi
}
vector() { # SPEC KEY_BYTES SECTOR_SIZE LARGE IV_OFFSET
  local options=() digest
  [ "$3" = 512 ] || options+=("sector_size:$3")
  [ "$4" = 0 ] || options+=(iv_large_sectors)
  dd if=/dev/zero of=disk bs=8192 count=1 conv=notrunc 2>/dev/null
  dmsetup create t --noudevsync --noudevrules \
    --table "0 16 crypt $1 $(key "$2") $5 /dev/loop0 0 ${#options[@]} ${options[*]}" 2>/dev/null || { echo "REFUSED $*"; return; }
  dmsetup mknodes t 2>/dev/null
  dd if=plain of=/dev/mapper/t bs=8192 count=1 oflag=direct conv=fsync 2>/dev/null
  dmsetup remove --noudevsync --noudevrules t
  digest=$(sha256sum disk)
  echo "VECTOR $* ${digest:0:32}"
}

# The lower 32 bits of the sector number, and all 64, wrap within the data.
wrap32=4294967288 wrap64=18446744073709551608
for cipher in aes:16,24,32 serpent:16,24,32 twofish:16,24,32 camellia:16,24,32 cast6:16,20,24,28,32; do
  name=${cipher%%:*}
  for len in $(echo "${cipher#*:}" | tr , ' '); do
    for mode in cbc-plain cbc-benbi ecb ctr-plain64 cbc-essiv:sha256; do vector $name-$mode $len 512 0 $wrap32; done
    for mode in xts-plain64 xts-plain xts-benbi; do vector $name-$mode $((2 * len)) 512 0 $wrap32; done
    vector $name-lrw-benbi $((len + 16)) 512 0 $wrap32
  done
done
for cipher in cast5:5,8,10,11,16 blowfish:4,16,32,56 des3_ede:24; do
  name=${cipher%%:*}
  for len in $(echo "${cipher#*:}" | tr , ' '); do
    for mode in cbc-plain cbc-plain64 cbc-plain64be cbc-benbi ecb cbc-null ctr-plain64; do
      vector $name-$mode $len 512 0 $wrap32
    done
  done
done
for len in 4 16 32 56; do vector blowfish-cbc-essiv:sha256 $len 512 0 $wrap32; done
for hash in sha256 sha3-256 streebog256 blake2b-256; do vector aes-cbc-essiv:$hash 32 512 0 $wrap32; done
for hash in sha1 sha256 sha3-256 streebog256 blake2b-256 rmd160 blake2b-160; do
  vector serpent-cbc-essiv:$hash 32 512 0 $wrap32
done
for pair in xchacha12,aes xchacha20,aes; do
  for mode in plain plain64 plain64be null benbi; do vector $pair-adiantum-$mode 32 512 0 $wrap32; done
  for size in 1024 2048 4096; do
    for large in 0 1; do vector $pair-adiantum-plain64 32 $size $large $wrap64; done
  done
done
for size in 512 1024 2048 4096; do
  for large in 0 1; do
    [ $size$large != 5121 ] || continue
    for offset in 0 $wrap32 9223372036854775800 $wrap64; do
      for mode in xts-plain64:64 xts-plain:32 cbc-essiv:sha256:32 cbc-plain64be:32 lrw-benbi:48 lrw-plain64:32 cbc-benbi:32 \
        cbc-null:16 ctr-plain64be:32 ctr-benbi:32 ecb:32 xts-plain64be:64 xts-essiv:sha256:64; do
        vector aes-${mode%:*} ${mode##*:} $size $large $offset
      done
      vector blowfish-cbc-benbi 16 $size $large $offset
    done
  done
done
vector aes 32 512 0 $wrap32
vector aes-plain 32 512 0 $wrap32
vector serpent-cbc-plain 20 512 0 0
vector aes-lrw-benbi 32 512 0 0
vector cipher_null-ecb 0 512 0 0
