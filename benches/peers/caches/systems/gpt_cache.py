"""GPTCache with its entries in SQLite and its vectors in FAISS, as its documentation sets it up.

Its limit of 1,000 entries is lifted, and the distance decides, as in its API without another model. Of its other
stores that need no server, hnswlib never finds anything and usearch does not start with today's packages.
"""

import numpy as np
from gptcache import Cache, Config
from gptcache.adapter.api import get, put
from gptcache.manager import manager_factory
from gptcache.processor.post import first
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation import SearchDistanceEvaluation

from embedding import DIMENSIONS

from .base import SIMILARITY, Setting, System

# Squared distance of unit vectors is 2 - 2 cos; the rank is 4 less that, and the threshold a share of 4.
THRESHOLD = (4 - (2 - 2 * SIMILARITY)) / 4
# For what is stored while it is measured.
ROOM = 20_000


class GptCache(System):
    """As its documentation sets it up."""

    package = "gptcache"
    config = Config(similarity_threshold=THRESHOLD)

    def __init__(self, setting: Setting) -> None:
        self._cache = Cache()
        manager = manager_factory(
            "sqlite,faiss",
            data_dir=str(setting.folder),
            eviction_params={"max_size": setting.entries + ROOM},
            vector_params={"dimension": DIMENSIONS},
        )

        def embed(text: str, **_: object) -> np.ndarray:
            return setting.embed(text)

        self._cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=embed,
            data_manager=manager,
            similarity_evaluation=SearchDistanceEvaluation(),
            post_process_messages_func=first,
            config=self.config,
        )

    def fill(self, questions, answers) -> None:
        self._cache.import_data(list(questions), list(answers))

    def put(self, question, answer) -> None:
        put(question, answer, cache_obj=self._cache)

    def get(self, question):
        return get(question, cache_obj=self._cache)


class GptCacheNoReport(GptCache):
    """Without the row that it writes into its report at every hit."""

    config = Config(similarity_threshold=THRESHOLD, disable_report=True)
