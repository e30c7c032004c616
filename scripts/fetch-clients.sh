#!/usr/bin/env bash
# Fetches the client libraries that the tests of the gateway use, in the versions that they pin, into .deps/python
# and .deps/javascript. Does nothing where they are there already. Needs Python 3.9 and Node.js 20, or later.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
    echo "fetch-clients: $*" >&2
}

need() {
    command -v "$1" >/dev/null || { say "$1 is missing, install $2"; exit 1; }
}

wanted=tests/gateway/clients/python/requirements.txt
if ! cmp -s "$wanted" .deps/python/requirements.txt; then
    need python3 "Python 3.9 or later"
    say "fetching the Python clients"
    python3 -m venv .deps/python
    .deps/python/bin/pip install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" .deps/python/requirements.txt
fi

wanted=tests/gateway/clients/javascript/package-lock.json
if ! cmp -s "$wanted" .deps/javascript/fetched; then
    need npm "Node.js 20 or later"
    say "fetching the JavaScript clients"
    mkdir -p .deps/javascript
    cp tests/gateway/clients/javascript/package.json "$wanted" .deps/javascript/
    npm ci --prefix .deps/javascript --ignore-scripts --no-audit --no-fund --loglevel=error
    cp "$wanted" .deps/javascript/fetched
fi
