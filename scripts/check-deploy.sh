#!/usr/bin/env bash
# Checks the files in deploy/ against the schemas of Compose and Kubernetes, by linters in an environment of their own
# (.deps/linters/, pinned). Needs Python 3 with venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
linters=.deps/linters
pinned=(check-jsonschema==0.39.0 kubernetes-validate==1.37.0)

if [ "$(cat "$linters/pinned" 2>/dev/null)" != "${pinned[*]}" ]; then
    rm -rf "$linters"
    mkdir -p .deps
    python3 -m venv "$linters"
    "$linters/bin/pip" install --quiet --disable-pip-version-check "${pinned[@]}"
    echo "${pinned[*]}" >"$linters/pinned"
fi
"$linters/bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml
"$linters/bin/kubernetes-validate" --strict --quiet deploy/kubernetes.yaml
