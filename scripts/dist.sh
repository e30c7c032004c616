#!/usr/bin/env bash
# Packs a built wellspring into an archive that needs nothing but its platform: `dist.sh BINARY FOLDER` writes
# FOLDER/wellspring-VERSION-TARGET.tar.gz and prints its path. The same input gives the same archive: names are sorted,
# owners and permissions fixed, and all times are SOURCE_DATE_EPOCH or that of the commit. Needs Python 3 and cargo.
set -euo pipefail

[ $# -eq 2 ] || { echo "usage: dist.sh BINARY FOLDER" >&2; exit 1; }
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$("$1" --version)
target=$(rustc -vV | sed -n 's/^host: //p')
name=wellspring-${version#* }-$target
time=${SOURCE_DATE_EPOCH:-$(git -C "$scripts" log -1 --format=%ct 2>/dev/null || echo 0)}

mkdir -p "$2"
work=$(mktemp -d "$2/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$scripts/install.sh" "$1" "$work/$name"
# Where people look first.
ln -s share/doc/wellspring/{LICENSE,README.md} "$work/$name/"
"$scripts/third-party.py" "$target" >"$work/$name/share/doc/wellspring/third-party-licenses.txt"

python3 - "$work/$name" "$work/archive" "$time" <<'PYTHON'
import gzip, pathlib, sys, tarfile

folder, archive, time = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def fixed(member):
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = time
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member

with open(archive, "wb") as file, gzip.GzipFile("", "wb", 6, file, time) as packed:
    # The members of a folder are added in the order of their names.
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, folder.name, filter=fixed)
PYTHON
mv "$work/archive" "$2/$name.tar.gz"
echo "$2/$name.tar.gz"
