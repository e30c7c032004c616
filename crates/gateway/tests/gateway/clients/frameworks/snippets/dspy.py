import os

import dspy

# Without `cache=False`, DSPy answers from a cache of its own, on disk, that no change of a document reaches.
lm = dspy.LM("openai/gpt-4o-mini", api_base=os.environ["WELLSPRING_URL"] + "/v1", cache=False)
dspy.configure(lm=lm)
answer = dspy.ChainOfThought("context, question -> answer")


def ask(question, context, sources):
    named = {"wellspring": {"question": question, "sources": sources}}
    return answer(context=context, question=question, config={"extra_body": named}).answer
