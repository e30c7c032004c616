#!/usr/bin/env bash
# Checks what others build from: the library compiles without warnings with each of its features alone, no dependency
# needs a newer Rust than Cargo.toml states, and every package that can be published fits into a registry.
# (That our own code needs no newer Rust is a lint, `incompatible_msrv`.) Needs Python 3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Prints what is asked for, or fails.
from_metadata() {
    cargo metadata --format-version=1 --locked | python3 -c "
import json, sys
metadata = json.load(sys.stdin)
packages = {package['name']: package for package in metadata['packages'] if package['id'] in metadata['workspace_members']}
$1"
}

# `onnx-download` downloads a library when it is built; its code is that of `onnx`.
features=$(from_metadata '
print(*(name for name in packages["wellspring"]["features"] if name[0] != "_" and name not in ("default", "onnx-download")))')
for feature in "" $features; do
    cargo clippy --quiet -p wellspring --lib --no-default-features --features "$feature" -- -D warnings ||
        { echo "check-packages: with the feature \"$feature\" alone" >&2; exit 1; }
done

from_metadata '
version = lambda text: tuple(int(part) for part in text.split("."))
stated = packages["wellspring"]["rust_version"]
newer = [package for package in metadata["packages"] if version(package["rust_version"] or "1")[:2] > version(stated)[:2]]
for package in newer:
    print("check-packages: {name} {version} needs Rust {rust_version}".format(**package), "and Cargo.toml states", stated)
sys.exit(bool(newer))' >&2

published=$(from_metadata '
print(*(name for name, package in packages.items() if package["publish"] is None))')
# shellcheck disable=SC2086 # They are separate words.
packed=$(cargo package --no-verify --allow-dirty --offline $(printf -- '-p %s ' $published) 2>&1) ||
    { echo "$packed" >&2; exit 1; }
for name in $published; do
    for crate in target/package/"$name"-[0-9]*.crate; do
        # The limit of crates.io.
        [ "$(wc -c <"$crate")" -lt $((10 << 20)) ] || { echo "check-packages: $crate is too large" >&2; exit 1; }
    done
done
