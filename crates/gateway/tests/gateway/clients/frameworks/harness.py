"""The checks for every framework. A snippet is the code that `docs/clients.md` shows, and is loaded unchanged.

The upstream numbers its answers, so two that are equal came from one call of it.
"""

import asyncio
import importlib.util
import inspect
import json
import os
import pathlib
import re
import urllib.request

QUESTION = "When does the café in Mill Street close?"
OTHER_WORDS = "What time does the café in Mill Street close?"
OTHER_QUESTION = "Where do guests of the café in Mill Street park?"

_versions = 0
# One for all, for clients belong to the loop that they were first used in.
_loop = asyncio.new_event_loop()


def load(name):
    """The module of a snippet. Its folder is in no search path: its files are called like what they import."""
    path = pathlib.Path(__file__).parent / "snippets" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"snippet_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources():
    return [{"id": "hours.md", "version": str(_versions)}]


def change():
    """A new version of the document; it is cited from now on."""
    global _versions
    _versions += 1
    body = json.dumps({"documents": sources()}).encode()
    url = os.environ["WELLSPRING_ADMIN_URL"] + "/v1/documents/changed"
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})).close()


def plain(call):
    """`call`, with what it may have to be awaited for."""

    def run(*arguments):
        result = call(*arguments)
        return _loop.run_until_complete(result) if inspect.isawaitable(result) else result

    return run


def rag(ask):
    """A RAG chain: `ask(question, context, sources)`."""
    ask = plain(ask)
    change()
    first = ask(QUESTION, "It closes at 18:00.", sources())
    assert first, first
    same = ask(QUESTION, "Other passages, in another order.", sources())
    assert same == first, (same, first)
    near = ask(OTHER_WORDS, "Other passages.", sources())
    assert near == first, (near, first)
    other = ask(OTHER_QUESTION, "Guests park behind the house.", sources())
    assert other != first, other
    change()
    fresh = ask(QUESTION, "It closes at 20:00.", sources())
    assert fresh != first, fresh
    assert ask(QUESTION, "It closes at 20:00.", sources()) == fresh


def loop(run, searches):
    """An agent with a tool: `run(question, sources)`. The tool notes its calls in `searches`."""
    run = plain(run)
    change()
    seen = []
    for question in [QUESTION, QUESTION, OTHER_WORDS]:
        searches.clear()
        seen.append(run(question, sources()))
        assert seen[-1] and len(searches) == 1, (seen, searches)
    assert seen[1] == seen[0], seen
    # The first step came from the cache; the last one holds the question in its own words.
    assert answer_number(seen[2]) == answer_number(seen[0]) + 1, seen
    change()
    searches.clear()
    fresh = run(QUESTION, sources())
    assert answer_number(fresh) == answer_number(seen[2]) + 2 and len(searches) == 1, (fresh, seen, searches)


def answer_number(text):
    """Which call of the upstream an answer came from."""
    return int(re.search(r"Answer (\d+)", text)[1])


def main(checks):
    for check in checks:
        plain(check)()
        print(f"ok {check.__name__}", flush=True)
