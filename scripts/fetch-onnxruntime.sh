#!/usr/bin/env bash
# Fetches the ONNX Runtime library that Wellspring loads at run time into .deps/onnxruntime/, from its pinned
# PyPI wheel, whose hash is verified. Does nothing if it is there. Needs Python 3 and a way to PyPI (a mirror
# set for pip is used); no Python package is installed anywhere.
set -euo pipefail

version=1.31.1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=.deps/onnxruntime

die() {
    echo "fetch-onnxruntime: $*" >&2
    exit 1
}

# The library in a wheel is the same for every Python version, so one wheel per platform is pinned.
case "$(uname -s)-$(uname -m)" in
Linux-x86_64)
    platform=manylinux_2_28_x86_64
    library=libonnxruntime.so.$version
    sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
    ;;
Linux-aarch64 | Linux-arm64)
    platform=manylinux_2_28_aarch64
    library=libonnxruntime.so.$version
    sha256=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
    ;;
Darwin-arm64)
    platform=macosx_14_0_arm64
    library=libonnxruntime.$version.dylib
    sha256=60b6b69bfe580eab576cacc5d132a0e9cf2a37fcfd18d46dd191042b1d1ed0d7
    ;;
*)
    die "no pinned ONNX Runtime for $(uname -s) $(uname -m): install it yourself and set ORT_DYLIB_PATH to its library"
    ;;
esac

# A library that the user names is the one that is loaded.
if [ -n "${ORT_DYLIB_PATH:-}" ] && [ -f "$ORT_DYLIB_PATH" ]; then exit 0; fi
# The rename below is the last step, so a library that is there is whole.
if [ -f "$target/$library" ]; then exit 0; fi

python=$(command -v python3 || command -v python) ||
    die "Python 3 is needed to fetch ONNX Runtime: install python3, or set ORT_DYLIB_PATH to libonnxruntime $version"

mkdir -p .deps
work=$(mktemp -d .deps/fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT

# The first pip that runs; where Python comes without one, its own bundled copy in a throw-away environment.
if "$python" -m pip --version >/dev/null 2>&1; then
    pip=("$python" -m pip)
elif command -v pip3 >/dev/null && pip3 --version >/dev/null 2>&1; then
    pip=(pip3)
elif "$python" -m venv "$work/venv" >/dev/null 2>&1; then
    pip=("$work/venv/bin/python" -m pip)
else
    die "pip is needed to fetch ONNX Runtime: install python3-pip or python3-venv"
fi

echo "fetching ONNX Runtime $version ($platform)" >&2
echo "onnxruntime==$version --hash=sha256:$sha256" >"$work/requirements.txt"
"${pip[@]}" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --python-version 3.11 --implementation cp --abi cp311 --platform "$platform" \
    --dest "$work" --requirement "$work/requirements.txt" ||
    die "pip could not fetch onnxruntime $version: check the network and pip's index settings"

# A wheel is a zip file, and Python always has a reader for it. The licences must travel with the library.
"$python" - "$work" "$library" <<'PYTHON'
import pathlib, sys, zipfile
work, library = pathlib.Path(sys.argv[1]), sys.argv[2]
(work / "out").mkdir()
wheel, = work.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    for name in ("capi/" + library, "LICENSE", "ThirdPartyNotices.txt", "Privacy.md"):
        (work / "out" / pathlib.PurePosixPath(name).name).write_bytes(archive.read("onnxruntime/" + name))
PYTHON

# Another version, or what an interrupted run left, gives way in one step.
rm -rf "$target"
mv "$work/out" "$target"
echo "ONNX Runtime $version is in $target/" >&2
