#!/usr/bin/env bash
# Sees to it that the tests find a Valkey server and a Redis server. Does nothing for one that is on the PATH or
# in .deps/ already; what is missing comes, on Debian and its kin, from the machine's own package sources: fetched
# and unpacked into .deps/valkey/ and .deps/redis/, without root and without touching what is installed. Elsewhere
# it says how to install them. One of the two is enough for the tests, so it fails only where neither can be had.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

say() {
    echo "fetch-valkey: $*" >&2
}

. scripts/debian.sh

# Whether the binary $2 is a server of flavour $1 that is new enough for the tests. Some systems install Valkey
# under the name of Redis, so the name that counts is the one that the server gives itself.
suits() {
    local name oldest version
    case $1 in
    valkey) name=Valkey oldest=8 ;;
    redis) name=Redis oldest=7 ;;
    esac
    version=$("$2" --version 2>/dev/null | sed -nE "s/^$name server v=([0-9]+)\..*/\1/p")
    [ -n "$version" ] && [ "$version" -ge "$oldest" ]
}

# Whether the tests find a server of flavour $1.
present() {
    local found
    if found=$(command -v "$1-server") && suits "$1" "$found"; then return 0; fi
    suits "$1" "$root/.deps/$1/bin/$1-server"
}

# Unpacks the server of flavour $1, with those of its packages that are not installed, into .deps/$1/.
fetch() {
    local flavour=$1 package tree=$work/$1/tree out=$work/$1/out program
    mkdir -p "$out"/{bin,doc,lib,libexec}
    unpack "$tree" "$flavour-server" "$flavour-tools" || return 1

    # The server's binary does what the name says that it is called by, so the links among the binaries are kept.
    cp -a "$tree/usr/bin/$flavour"-* "$out/libexec/" || return 1
    find "$tree" -name '*.so.*' -exec cp -a {} "$out/lib/" \;
    # The licences must travel with the binaries.
    for package in "$tree"/usr/share/doc/*/; do
        [ ! -f "$package/copyright" ] || cp "$package/copyright" "$out/doc/$(basename "$package").txt"
    done
    # `exec` leaves one process, so that a signal sent to it reaches the server.
    for program in server cli; do
        cat >"$out/bin/$flavour-$program" <<WRAPPER
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
LD_LIBRARY_PATH=\$here/../lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH} exec "\$here/../libexec/$flavour-$program" "\$@"
WRAPPER
        chmod 755 "$out/bin/$flavour-$program"
    done
    if ! suits "$flavour" "$out/bin/$flavour-server"; then
        say "the package sources have a $flavour-server that is too old or does not run:" \
            "$("$out/bin/$flavour-server" --version 2>&1 | tail -n 1)"
        return 1
    fi

    # What an older script left gives way in one step.
    rm -rf ".deps/$flavour"
    mv "$out" ".deps/$flavour"
    say "$(".deps/$flavour/bin/$flavour-server" --version | cut -d ' ' -f 1-3) is in .deps/$flavour/"
}

missing=()
for flavour in valkey redis; do
    # What the sources did not have is not looked for again on every run.
    present $flavour || [ -f .deps/no-$flavour ] || missing+=("$flavour")
done

if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    mkdir -p .deps
    work=$(mktemp -d "$root/.deps/servers.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "fetching ${missing[*]} from the system's package sources"
    update_private_apt
    for flavour in "${missing[@]}"; do
        # Where a source was not reached, nothing is known about what it has.
        fetch "$flavour" || [ -n "$unreached" ] || touch ".deps/no-$flavour"
    done
fi

if present valkey && present redis; then exit 0; fi
if present valkey || present redis; then
    [ ${#missing[@]} -eq 0 ] || say "only one of the two is there, and the tests run with it"
    exit 0
fi
rm -f .deps/no-valkey .deps/no-redis
cat >&2 <<'HELP'
fetch-valkey: the tests need Valkey 8 or Redis 7, or newer, and neither is there. Install one of them:
    macOS                  brew install valkey
    Debian 13 or newer     sudo apt-get install valkey-server
    Debian 12, Ubuntu 24   sudo apt-get install redis-server
    Fedora                 sudo dnf install valkey
    Arch Linux             sudo pacman -S valkey
HELP
exit 1
