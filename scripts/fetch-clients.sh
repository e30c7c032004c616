#!/usr/bin/env bash
# Fetches the client libraries and frameworks that the tests of the gateway use, in the versions that they pin, into
# .deps/python, .deps/frameworks, .deps/frameworks-openai2 and .deps/javascript. Does nothing where they are there
# already. Needs Python 3.11 and Node.js 20, or later. Only wheels are installed, so nothing is built.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
    echo "fetch-clients: $*" >&2
}

need() {
    command -v "$1" >/dev/null || { say "$1 is missing, install $2"; exit 1; }
}

clients=crates/gateway/tests/gateway/clients

wanted=$clients/python/requirements.txt
if ! cmp -s "$wanted" .deps/python/requirements.txt; then
    need python3 "Python 3.11 or later"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        { say "$(python3 --version) is too old, install Python 3.11 or later"; exit 1; }
    say "fetching the Python clients"
    python3 -m venv .deps/python
    .deps/python/bin/pip install --quiet --disable-pip-version-check --only-binary :all: -r "$wanted"
    cp "$wanted" .deps/python/requirements.txt
fi

# Two environments: some frameworks take the newest client of OpenAI, some one before its version 3.
for name in frameworks frameworks-openai2; do
    wanted=$clients/frameworks/$name.txt
    cmp -s "$wanted" ".deps/$name/requirements.txt" && continue
    say "fetching the Python $name"
    .deps/python/bin/uv venv --quiet --clear --no-python-downloads --python .deps/python/bin/python ".deps/$name"
    .deps/python/bin/uv pip install --quiet --only-binary :all: --python ".deps/$name" -r "$wanted"
    cp "$wanted" ".deps/$name/requirements.txt"
done

wanted=$clients/javascript/package-lock.json
if ! cmp -s "$wanted" .deps/javascript/fetched; then
    need npm "Node.js 20 or later"
    say "fetching the JavaScript clients"
    mkdir -p .deps/javascript
    cp $clients/javascript/package.json "$wanted" .deps/javascript/
    npm ci --prefix .deps/javascript --ignore-scripts --no-audit --no-fund --loglevel=error
    cp "$wanted" .deps/javascript/fetched
fi
