import os

from agents import Agent, ModelSettings, RunConfig, Runner, function_tool, set_default_openai_client
from openai import AsyncOpenAI

set_default_openai_client(AsyncOpenAI(base_url=os.environ["WELLSPRING_URL"] + "/v1"))


@function_tool
def search(query: str) -> str:
    """Searches the documents."""
    return "The café in Mill Street closes at 18:00."


agent = Agent(
    name="guide", instructions="Answer from the documents.", model="gpt-4o-mini", tools=[search]
)


async def run(question, sources):
    named = ModelSettings(extra_body={"wellspring": {"question": question, "sources": sources}})
    result = await Runner.run(agent, question, run_config=RunConfig(model_settings=named))
    return result.final_output
