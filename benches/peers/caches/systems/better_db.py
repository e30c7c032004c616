"""BetterDB's SemanticCache, on a server of its own, where it searches an HNSW graph.

It is made for Valkey's own search module, which no package carries; Redis's has the same commands. It is asynchronous:
each caller has an event loop and a connection. What it does beside answering (analytics, discovery, a cache of
embeddings, for no question comes twice) is off.
"""

import asyncio
import threading
from dataclasses import replace

import valkey.asyncio
from betterdb_semantic_cache import SemanticCache, SemanticCacheOptions
from betterdb_semantic_cache.types import (
    AnalyticsOptions,
    ConfigRefreshOptions,
    DiscoveryOptions,
    EmbeddingCacheOptions,
)

from .base import SIMILARITY, Setting, System
from .server import Server


class BetterDb(System):
    package = "betterdb-semantic-cache"

    def __init__(self, setting: Setting) -> None:
        self._server = Server(setting.folder)
        self._local = threading.local()

        async def embed(text: str) -> list[float]:
            return setting.embed(text).tolist()

        self._options = SemanticCacheOptions(
            client=None,
            embed_fn=embed,
            default_threshold=1 - SIMILARITY,
            embedding_cache=EmbeddingCacheOptions(enabled=False),
            analytics=AnalyticsOptions(disabled=True),
            config_refresh=ConfigRefreshOptions(enabled=False),
            discovery=DiscoveryOptions(enabled=False),
        )
        self._here()

    def _here(self) -> tuple[asyncio.AbstractEventLoop, SemanticCache]:
        """This thread's event loop and cache."""
        if not hasattr(self._local, "cache"):
            loop = asyncio.new_event_loop()
            client = valkey.asyncio.Valkey.from_url(self._server.url)
            cache = SemanticCache(replace(self._options, client=client))
            loop.run_until_complete(cache.initialize())
            self._local.loop, self._local.cache = loop, cache
        return self._local.loop, self._local.cache

    def fill(self, questions, answers) -> None:
        for question, answer in zip(questions, answers, strict=True):
            self.put(question, answer)

    def put(self, question, answer) -> None:
        loop, cache = self._here()
        loop.run_until_complete(cache.store(question, answer))

    def get(self, question):
        loop, cache = self._here()
        result = loop.run_until_complete(cache.check(question))
        return result.response if result.hit else None

    def close(self) -> None:
        self._server.stop()
