"""Wellspring's gateway over HTTP, with a store on disk: as a Python program sees it.

Asked at `/v1/cache/lookup`. The embedding of a question goes along where it was computed before.
"""

import http.client
import json
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .base import SIMILARITY, Setting, System

FILLERS = 16
BINARY = Path(os.environ["WELLSPRING_BINARY"]) if "WELLSPRING_BINARY" in os.environ else None


class Gateway(System):
    package = "wellspring"

    def __init__(self, setting: Setting) -> None:
        if BINARY is None:
            raise RuntimeError("WELLSPRING_BINARY does not name the command")
        self._setting = setting
        store = f"embedded:{setting.folder / 'wellspring.redb'}"
        self._process = subprocess.Popen(
            [BINARY, "serve", "--json", "--store", store, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
            cwd=setting.folder,
            env={
                **os.environ,
                "WELLSPRING_SERVER_SHARING": "shared",
                # No other cache looks for references to an earlier question, and a few of these wordings have some.
                "WELLSPRING_MATCH_FOLLOW_UPS": "match",
                "RUST_LOG": "off",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        told = ""
        while not told.rstrip().endswith("}"):
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError("the gateway ended")
            told += line
        self._address = json.loads(told)["proxy"].removeprefix("http://")
        self._local = threading.local()

    def _post(self, path: str, body: dict) -> dict:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._address)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        said = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {said[:200]}")
        return json.loads(said)

    def _question(self, question: str) -> dict:
        body = {"question": question, "threshold": SIMILARITY}
        vector = self._setting.embed(question)
        if vector is not None:
            body["embedding"] = vector.tolist()
        return body

    def fill(self, questions, answers) -> None:
        # Those that wait for the disk share one write.
        with ThreadPoolExecutor(FILLERS) as pool:
            list(pool.map(self.put, questions, answers))

    def put(self, question, answer) -> None:
        found = self._post("/v1/cache/lookup", {**self._question(question), "renew": True})
        self._post(
            "/v1/cache/fill",
            {"permit": found["permit"], "answer": answer, "sources": [{"id": f"document-{len(question)}"}]},
        )

    def get(self, question):
        found = self._post("/v1/cache/lookup", self._question(question))
        return found["answer"] if found["status"] == "hit" else None

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
