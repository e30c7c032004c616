"""The systems that are measured from Python, by the name that they are asked for.

Each is imported when it is measured, so that one that is not installed fails alone.
"""

from importlib import import_module

from .base import Setting, System

SYSTEMS = {
    "gptcache": "gpt_cache.GptCache",
    "gptcache-no-report": "gpt_cache.GptCacheNoReport",
    "redisvl": "redis_vl.RedisVl",
    "langchain-redis": "redis_vl.LangChainRedis",
    "betterdb": "better_db.BetterDb",
    "mneme": "in_process.Mneme",
    "waggle": "in_process.WaggleCache",
    "wellspring-gateway": "gateway.Gateway",
}


def load(name: str) -> type[System]:
    """The class of a system."""
    module, name = SYSTEMS[name].split(".")
    return getattr(import_module(f".{module}", __name__), name)


__all__ = ["SYSTEMS", "Setting", "System", "load"]
