#!/usr/bin/env bash
# Set up Python with LiteRT for an emulated ARM processor.
#
#   scripts/arm.sh [DIRECTORY]
#
# tests/processes/test_arm.py and scripts/benchmarks/arm.py run exported files on
# it. They look for DIRECTORY in RIGL_TF_ARM; default build/arm. Needs Debian, its
# package qemu-user, and pip in `python`. Nothing outside of DIRECTORY is changed.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p "${1:-build/arm}"
directory=$(cd "${1:-build/arm}" && pwd)
root=$directory/root
if [ -x "$directory/python" ]; then
  echo "$directory is set up."
  exit
fi
if ! command -v qemu-aarch64 > /dev/null; then
  echo "An emulated ARM processor needs qemu-aarch64: apt-get install qemu-user" >&2
  exit 2
fi

# Packages of the architecture arm64, by apt with a state of its own.
apt=$directory/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$root"
: > "$apt/status"
options=(
  -qq
  -o APT::Architecture=arm64 -o APT::Architectures=arm64
  -o APT::Install-Recommends=false -o APT::Sandbox::User=
  -o Acquire::Languages=none
  -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt"
)
apt-get "${options[@]}" update
apt-get "${options[@]}" --yes --download-only install python3 libstdc++6
for package in "$apt"/archives/*.deb; do
  dpkg-deb --extract "$package" "$root"
done
rm -r "$apt"

version=$(readlink "$root/usr/bin/python3")
python -m pip install --quiet --upgrade --target "$directory/packages" \
  --only-binary=:all: --python-version "${version#python}" \
  --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
  --platform manylinux2014_aarch64 ai-edge-litert

# qemu-user shows these files of the machine itself, in which LiteRT would look
# for an ARM processor in vain and crash.
mkdir -p "$root/proc" "$root/sys/devices/system/cpu"
for processor in 0 1; do
  cat << EOF
processor	: $processor
BogoMIPS	: 100.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x4
CPU part	: 0xd0b
CPU revision	: 1

EOF
done > "$root/proc/cpuinfo"
for name in possible present; do
  echo 0-1 > "$root/sys/devices/system/cpu/$name"
done

# A processor that exists. "max", which qemu-user 7.2 takes by default, has SME:
# there LiteRT 2.3.0 computes 8-bit files wrongly, dense ones too.
cat > "$directory/python.new" << EOF
#!/bin/sh
exec qemu-aarch64 -cpu cortex-a76 -L "$root" -E PYTHONHOME="$root/usr" \\
  -E PYTHONPATH="$directory/packages" "$root/usr/bin/python3" "\$@"
EOF
chmod +x "$directory/python.new"
"$directory/python.new" -c "import ai_edge_litert.interpreter"
mv "$directory/python.new" "$directory/python"
echo "$directory/python runs on an emulated ARM processor."
