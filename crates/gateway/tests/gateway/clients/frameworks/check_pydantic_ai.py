import os

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from harness import QUESTION, change, load, loop, main, sources

snippet = load("pydantic_ai")
searches = []


class Hours(BaseModel):
    closes_at: int


def search(query: str) -> str:
    """Searches the documents."""
    searches.append(query)
    return "It closes at 18:00."


def settings():
    return {"extra_body": {"wellspring": {"question": QUESTION, "sources": sources()}}}


def run_with(agent):
    async def run(question, sources):
        named = {"wellspring": {"question": question, "sources": sources}}
        return (await agent.run(question, model_settings={"extra_body": named})).output

    return run


def agent():
    tool = snippet.agent._function_toolset.tools["search"].function_schema
    original = tool.function
    tool.function = lambda query: (searches.append(query), original(query))[1]
    loop(snippet.run, searches)


def responses():
    loop(
        run_with(Agent(OpenAIResponsesModel("gpt-4o-mini", provider=snippet.provider), tools=[search])),
        searches,
    )


def anthropic():
    provider = AnthropicProvider(base_url=os.environ["WELLSPRING_URL"], api_key="key")
    loop(run_with(Agent(AnthropicModel("claude-sonnet-5", provider=provider), tools=[search])), searches)


async def stream():
    change()

    async def run():
        async with snippet.agent.run_stream(QUESTION, model_settings=settings()) as result:
            return await result.get_output()

    assert await run() == await run() != ""


async def structured():
    """An answer that does not fit is asked for again, and gotten past, also when both come from the cache."""
    change()
    agent = Agent(OpenAIChatModel("gpt-careless", provider=snippet.provider), output_type=Hours, retries=2)
    first, second = [(await agent.run(QUESTION, model_settings=settings())).output for _ in range(2)]
    assert first == second and isinstance(first.closes_at, int)


main([agent, responses, anthropic, stream, structured])
