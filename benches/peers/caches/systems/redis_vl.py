"""RedisVL's SemanticCache and LangChain's RedisSemanticCache, each on a server of its own.

Both search a flat index, and offer no other.
"""

from langchain_core.embeddings import Embeddings
from langchain_core.outputs import Generation
from langchain_redis import RedisSemanticCache
from redisvl.extensions.cache.llm import SemanticCache
from redisvl.utils.vectorize import CustomVectorizer

from .base import SIMILARITY, Setting, System
from .server import Server

# How LangChain distinguishes models and their settings.
LLM = "model"


class RedisVl(System):
    package = "redisvl"

    def __init__(self, setting: Setting) -> None:
        self._server = Server(setting.folder)

        def embed(text: str) -> list[float]:
            return setting.embed(text).tolist()

        self._cache = SemanticCache(
            redis_client=self._server.client,
            redis_url=self._server.url,
            distance_threshold=1 - SIMILARITY,
            vectorizer=CustomVectorizer(embed=embed),
        )

    def fill(self, questions, answers) -> None:
        for question, answer in zip(questions, answers, strict=True):
            self._cache.store(question, answer)

    def put(self, question, answer) -> None:
        self._cache.store(question, answer)

    def get(self, question):
        found = self._cache.check(question)
        return found[0]["response"] if found else None

    def close(self) -> None:
        self._server.stop()


class _Embeddings(Embeddings):
    def __init__(self, setting: Setting) -> None:
        self._embed = setting.embed

    def embed_query(self, text: str) -> list[float]:
        return self._embed(text).tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class LangChainRedis(System):
    package = "langchain-redis"

    def __init__(self, setting: Setting) -> None:
        self._server = Server(setting.folder)
        self._cache = RedisSemanticCache(
            embeddings=_Embeddings(setting),
            redis_client=self._server.client,
            redis_url=self._server.url,
            distance_threshold=1 - SIMILARITY,
        )

    def fill(self, questions, answers) -> None:
        for question, answer in zip(questions, answers, strict=True):
            self.put(question, answer)

    def put(self, question, answer) -> None:
        self._cache.update(question, LLM, [Generation(text=answer)])

    def get(self, question):
        found = self._cache.lookup(question, LLM)
        return found[0].text if found else None

    def close(self) -> None:
        self._server.stop()
