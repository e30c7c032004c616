#!/usr/bin/env python3
"""Prints the licences of all packages that are compiled into the wellspring command, each text once.

`third-party.py TARGET` reads the packages that cargo has downloaded.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMAND = "wellspring-cli"
FILES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")


def compiled_in(metadata):
    """The packages that the command depends on, without those that only build it or are our own."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = set(), [id for id, package in packages.items() if package["name"] == COMMAND]
    while waiting:
        id = waiting.pop()
        if id not in found:
            found.add(id)
            used = (dep for dep in nodes[id]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"]))
            waiting.extend(dep["pkg"] for dep in used)
    ours = set(metadata["workspace_members"])
    return sorted((packages[id] for id in found - ours), key=lambda package: (package["name"], package["version"]))


def main():
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--offline"]
    command += [f"--filter-platform={sys.argv[1]}", f"--manifest-path={ROOT / 'Cargo.toml'}"]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = compiled_in(metadata)
    texts = {}
    print("The wellspring command contains these packages:\n")
    for package in packages:
        name = f"{package['name']} {package['version']}"
        print(f"{name}: {package['license'] or 'see its licence below'}")
        folder = pathlib.Path(package["manifest_path"]).parent
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name.upper().startswith(FILES):
                text = path.read_text(encoding="utf-8", errors="replace").strip()
                texts.setdefault(text, []).append(name)
    for text, names in texts.items():
        print(f"\n{'=' * 80}\n{', '.join(names)}\n\n{text}")


main()
