from agents import Agent, ModelSettings, RunConfig, Runner, SQLiteSession
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel

from harness import QUESTION, change, load, loop, main, sources

snippet = load("openai_agents")


class Hours(BaseModel):
    closes_at: int


def config():
    return RunConfig(
        model_settings=ModelSettings(extra_body={"wellspring": {"question": QUESTION, "sources": sources()}})
    )


def counted(searches):
    """The snippet's tool, with its calls noted."""
    invoke = snippet.search.on_invoke_tool

    async def noted(context, arguments):
        searches.append(arguments)
        return await invoke(context, arguments)

    snippet.search.on_invoke_tool = noted


searches = []
counted(searches)


def agent():
    loop(snippet.run, searches)


async def stream():
    change()

    async def run():
        result = Runner.run_streamed(snippet.agent, QUESTION, run_config=config())
        pieces = [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
        ]
        assert "".join(pieces) == result.final_output
        return result.final_output

    assert await run() == await run()


async def structured():
    change()
    agent = Agent(name="reader", model="gpt-4o-mini", output_type=Hours)
    first, second = [(await Runner.run(agent, QUESTION, run_config=config())).final_output for _ in range(2)]
    assert first == second and isinstance(first.closes_at, int)


async def memory():
    """Asked again in the same session, the agent searches again."""
    change()
    searches.clear()
    session = SQLiteSession("one")
    answers = [
        (await Runner.run(snippet.agent, QUESTION, session=session, run_config=config())).final_output
        for _ in range(3)
    ]
    assert len(set(answers)) == 3 and len(searches) == 3, (answers, searches)


main([agent, stream, structured, memory])
