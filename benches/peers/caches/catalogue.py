"""The caches that are compared, in the order of the table, with notes for the reader on each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A row of the table."""

    label: str
    setup: str
    """Where its entries and vectors are, and how they are searched."""
    checks: str
    """Whether it looks at more than the similarity before it serves an answer, as it is measured."""
    ends: str
    """How its answers can be ended before they expire."""
    ours: bool = False


OURS = "changed documents, tags, namespaces, …"

KINDS = {
    "wellspring-embedded": Kind("Wellspring, embedded store", "disk, own graph index", "guards", OURS, True),
    "wellspring-valkey": Kind("Wellspring, Valkey", "Valkey, own graph index in process", "guards", OURS, True),
    "wellspring-gateway": Kind(
        "Wellspring, gateway", "asked from Python over HTTP; disk, own graph index", "guards", OURS, True
    ),
    "wellspring-embedded-verified": Kind(
        "Wellspring, embedded, verified", "the same", "guards, calibration, cross-encoder", OURS, True
    ),
    "wellspring-valkey-verified": Kind(
        "Wellspring, Valkey, verified", "the same", "guards, calibration, cross-encoder", OURS, True
    ),
    "mneme": Kind("Mneme", "SQLite; hnswlib in process", "a hook", "question"),
    "redisvl": Kind("RedisVL SemanticCache", "Valkey with Redis's search module, flat index", "nothing", "id"),
    "langchain-redis": Kind(
        "LangChain RedisSemanticCache", "Valkey with Redis's search module, flat index", "nothing", "all at once"
    ),
    "betterdb": Kind(
        "BetterDB semantic-cache",
        "Valkey with Redis's search module, HNSW",
        "an LLM, if given",
        "model, category, filter",
    ),
    "waggle": Kind("Waggle", "SQLite; hnswlib in process", "numbers, negation", "id, question, metadata"),
    "gptcache-no-report": Kind("GPTCache, without its report", "SQLite; FAISS flat", "models, if given", "nothing"),
    "gptcache": Kind("GPTCache", "SQLite; FAISS flat", "models, if given", "nothing"),
}

# What was looked at and is not measured, and why.
LEFT_OUT = {
    "vCache": "not in the package registry. Its policy is one of Wellspring's own verifiers (`VCache`)",
    "LiteLLM, semantic": "goes through RedisVL, which is measured",
    "LangChain, in memory and SQLite": "exact matches only",
    "semantic-router": "routes questions, keeps no answers",
    "Coalent": "keeps extracts of documents, not answers",
}
