"""The interface that a cache needs to be measured."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The least cosine similarity of a hit, the same for all. Of the near questions, all but one in a thousand are above it.
SIMILARITY = 0.9

Embed = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Setting:
    """The parameters that a system is opened with."""

    folder: Path
    """An empty folder of its own on disk."""
    embed: Embed
    """Text to vector: the model, or a table of vectors that were computed before."""
    entries: int
    """How many entries will be stored."""


class System(ABC):
    """A cache, set up as its documentation recommends for speed."""

    package: str
    """The package whose version is reported."""
    batch = 1_000
    """How many entries it is given at once to store."""

    @abstractmethod
    def __init__(self, setting: Setting) -> None: ...

    @abstractmethod
    def fill(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        """Stores answers, in the fastest way that is documented."""

    @abstractmethod
    def put(self, question: str, answer: str) -> None:
        """Stores one answer, as after a miss."""

    @abstractmethod
    def get(self, question: str) -> str | None:
        """The answer of a hit."""

    def close(self) -> None:
        """Ends servers of its own, if it has any."""
