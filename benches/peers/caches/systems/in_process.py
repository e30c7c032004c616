"""Caches that live in the caller's process with their entries in SQLite: Mneme and Waggle.

Both can search exactly or by hnswlib; hnswlib is what they are measured with, for it is the faster one.
"""

import numpy as np
from mneme import SemanticCache
from waggle import Waggle

from embedding import DIMENSIONS

from .base import SIMILARITY, Setting, System


class _Embedder:
    """The embedder in the shape that each of the two asks for."""

    dim = DIMENSIONS
    fingerprint = model_id = "all-MiniLM-L6-v2-int8@8ff407ed2239"

    def __init__(self, setting: Setting) -> None:
        self._embed = setting.embed


class _One(_Embedder):
    def embed(self, text: str) -> np.ndarray:
        return self._embed(text)


class _Many(_Embedder):
    def embed(self, texts: list[str]) -> list[list[float]]:
        return [self._embed(text).tolist() for text in texts]


class Mneme(System):
    package = "mneme-cache"

    def __init__(self, setting: Setting) -> None:
        self._cache = SemanticCache(
            path=setting.folder / "cache.db",
            embedder=_One(setting),
            similarity_threshold=SIMILARITY,
            index_backend="hnsw",
        )

    def fill(self, questions, answers) -> None:
        for question, answer in zip(questions, answers, strict=True):
            self.put(question, answer)

    def put(self, question, answer) -> None:
        self._cache.put(question, answer)

    def get(self, question):
        hit = self._cache.get(question)
        return hit.response if hit else None

    def close(self) -> None:
        self._cache.close()


class WaggleCache(System):
    package = "waggle-cache"
    # It writes its whole index to disk after each batch.
    batch = 10_000

    def __init__(self, setting: Setting) -> None:
        self._cache = Waggle(
            setting.folder / "cache.db",
            embedding_provider=_Many(setting),
            similarity_threshold=SIMILARITY,
            index_backend="hnsw",
        )

    def fill(self, questions, answers) -> None:
        self._cache.set_many(zip(questions, answers, strict=True))

    def put(self, question, answer) -> None:
        self._cache.set(question, answer)

    def get(self, question):
        result = self._cache.get(question)
        return result.value if result.hit else None
