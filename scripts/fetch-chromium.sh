#!/usr/bin/env bash
# Sees to it that the tests find a Chromium to look at the page with. Does nothing if there is one on the PATH or in
# .deps/ already. Otherwise it comes, on Debian and its kin, from the machine's own package sources, unpacked into
# .deps/chromium/ without root and without touching what is installed (about 120 MB, once).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

say() {
    echo "fetch-chromium: $*" >&2
}

. scripts/debian.sh

for program in "${CHROMIUM:-chromium}" chromium-browser google-chrome "$root/.deps/chromium/bin/chromium"; do
    if command -v "$program" >/dev/null; then exit 0; fi
done

if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    mkdir -p .deps
    work=$(mktemp -d "$root/.deps/browser.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "fetching chromium from the system's package sources"
    update_private_apt
    if unpack "$work/out/tree" chromium fonts-dejavu-core; then
        mkdir -p "$work/out/bin"
        # The fonts are found among the data of the user.
        cat >"$work/out/bin/chromium" <<'WRAPPER'
#!/bin/sh
tree=$(dirname "$(readlink -f "$0")")/../tree
for folder in "$tree"/lib/*-linux-gnu "$tree"/usr/lib/*-linux-gnu "$tree"/usr/lib/*-linux-gnu/pulseaudio; do
    LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH XDG_DATA_HOME="$tree/usr/share"
exec "$tree/usr/lib/chromium/chromium" "$@"
WRAPPER
        chmod 755 "$work/out/bin/chromium"
        if version=$("$work/out/bin/chromium" --version 2>"$work/version.log"); then
            rm -rf .deps/chromium
            mv "$work/out" .deps/chromium
            say "$version is in .deps/chromium/"
            exit 0
        fi
        say "the package sources have a chromium that does not run: $(tail -n 1 "$work/version.log")"
    fi
fi
cat >&2 <<'HELP'
fetch-chromium: the tests of the page need Chromium or Chrome, and there is none. Install one of them, or name it in
CHROMIUM:
    Debian, Ubuntu    sudo apt-get install chromium
    Fedora            sudo dnf install chromium
    macOS             brew install --cask chromium
HELP
exit 1
