import dspy

from harness import QUESTION, change, load, main, rag

snippet = load("dspy")


def chain():
    rag(snippet.ask)


def agent():
    """Each step of ReAct is one message with all that went before, so its question is not to be named."""
    searches = []

    def search(query: str) -> str:
        """Searches the documents."""
        searches.append(query)
        return "It closes at 18:00."

    react = dspy.ReAct("question -> answer", tools=[search], max_iters=4)
    headers = {"Wellspring-Sources": "hours.md"}
    lm = dspy.LM(snippet.lm.model, cache=False, api_base=snippet.lm.kwargs["api_base"], extra_headers=headers)

    def run(question, _sources):
        with dspy.context(lm=lm):
            return react(question=question).answer

    change()
    first = run(QUESTION, None)
    assert len(searches) == 1 and run(QUESTION, None) == first and len(searches) == 2, searches
    change()
    assert run(QUESTION, None) != first


def samples():
    """Choices of one call are kept together; further samples are asked for without the cache."""
    predict = dspy.Predict("question -> answer")
    change()
    two = [
        predict(question=QUESTION, config={"n": 2, "temperature": 1.0}).completions.answer for _ in range(2)
    ]
    assert len(two[0]) == 2 and two[0] == two[1], two
    fresh = {"extra_headers": {"Cache-Control": "no-store"}, "temperature": 1.0}
    more = {
        predict(question=QUESTION, config={**fresh, "rollout_id": rollout}).answer for rollout in range(3)
    }
    assert len(more) == 3, more


main([chain, agent, samples])
