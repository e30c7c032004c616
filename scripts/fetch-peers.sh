#!/usr/bin/env bash
# Fetches the caches that Wellspring is compared with, in pinned versions, into a Python environment of their own
# (.deps/peers, about 600 MB, most of it a server of which one module is used). Does nothing where they are there
# already. Needs Python 3.11 or later.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
caches=benches/peers/caches
wanted=$(cat $caches/requirements.txt $caches/constraints.txt)

say() {
    echo "fetch-peers: $*" >&2
}

if [ "$wanted" != "$(cat .deps/peers/fetched 2>/dev/null)" ]; then
    command -v python3 >/dev/null || { say "python3 is missing, install Python 3.11 or later"; exit 1; }
    say "fetching the caches"
    mkdir -p .deps
    python3 -m venv --clear .deps/peers
    # One by one: a cache that is not to be had, or does not fit this machine, is reported by the comparison.
    grep -v '^#' $caches/requirements.txt | while read -r -a packages; do
        .deps/peers/bin/pip install --quiet --disable-pip-version-check -c $caches/constraints.txt "${packages[@]}" ||
            say "${packages[0]} cannot be installed"
    done
    echo "$wanted" >.deps/peers/fetched
fi
