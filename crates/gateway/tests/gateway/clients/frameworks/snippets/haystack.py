import os

from haystack import Pipeline
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage

template = [ChatMessage.from_user("Context:\n{{context}}\n\nQuestion: {{question}}")]
pipeline = Pipeline()
pipeline.add_component("prompt", ChatPromptBuilder(template, required_variables="*"))
pipeline.add_component(
    "llm",
    OpenAIChatGenerator(model="gpt-4o-mini", api_base_url=os.environ["WELLSPRING_URL"] + "/v1"),
)
pipeline.connect("prompt.prompt", "llm.messages")


def ask(question, context, sources):
    named = {"wellspring": {"question": question, "sources": sources}}
    result = pipeline.run(
        {
            "prompt": {"context": context, "question": question},
            "llm": {"generation_kwargs": {"extra_body": named}},
        }
    )
    return result["llm"]["replies"][0].text
