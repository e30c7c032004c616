#!/usr/bin/env bash
# Lays out a built wellspring with all that it needs at run time: `install.sh BINARY FOLDER`, where FOLDER is a prefix
# such as /usr/local. The command finds the library and the models from its own place in it. Needs `make setup`.
set -euo pipefail

die() {
    echo "install: $*" >&2
    exit 1
}

[ $# -eq 2 ] || die "usage: install.sh BINARY FOLDER"
[ -x "$1" ] || die "$1 is missing: run \`make build\`"
binary=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
mkdir -p "$2"
prefix=$(cd "$2" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Puts files into the folder $1 with the permissions $2.
put() {
    local folder=$prefix/$1 mode=$2
    shift 2
    mkdir -p "$folder"
    install -m "$mode" "$@" "$folder/"
}

runtime=.deps/onnxruntime
[ -d "$runtime" ] || die "$runtime is missing: run \`make setup\` without ORT_DYLIB_PATH"
put bin 755 "$binary"
put lib/wellspring 644 "$runtime"/libonnxruntime.*

# What is read at run time, and what says where it comes from. The multilingual encoder is built where it is wanted.
for model in question-encoder question-comparer question-verifier multilingual-comparer; do
    put share/wellspring/models/$model 644 models/$model/{*.json,LICENSE,README.md} models/$model/model.*
done

documents=share/doc/wellspring
put $documents 644 LICENSE README.md CHANGELOG.md SECURITY.md
put $documents/docs 644 docs/*
put $documents/onnxruntime 644 "$runtime"/{LICENSE,ThirdPartyNotices.txt,Privacy.md}
# The notices of what is compiled in: the demo's corpus, and the list from WordNet.
put $documents/demo 644 crates/cli/src/commands/demo/corpus/README.md
put $documents/wordnet 644 src/verify/guards/opposites.txt

# In a file first: a command that fails must not leave an empty script behind.
completions() {
    mkdir -p "$prefix/$2"
    "$binary" completions "$1" >"$prefix/$2/.new"
    chmod 644 "$prefix/$2/.new"
    mv "$prefix/$2/.new" "$prefix/$2/$3"
}
completions bash share/bash-completion/completions wellspring
completions zsh share/zsh/site-functions _wellspring
completions fish share/fish/vendor_completions.d wellspring.fish
