import os

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=os.environ["WELLSPRING_URL"] + "/v1")
agent = Agent(OpenAIChatModel("gpt-4o-mini", provider=provider))


@agent.tool_plain
def search(query: str) -> str:
    """Searches the documents."""
    return "The café in Mill Street closes at 18:00."


async def run(question, sources):
    named = {"wellspring": {"question": question, "sources": sources}}
    result = await agent.run(question, model_settings={"extra_body": named})
    return result.output
