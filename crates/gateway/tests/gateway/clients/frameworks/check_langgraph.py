from harness import QUESTION, change, load, loop, main, sources

snippet = load("langgraph")
searches = []
search = snippet.search.func
snippet.search.func = lambda query: (searches.append(query), search(query))[1]
threads = iter(range(1000))


def agent():
    loop(lambda question, sources: snippet.run(question, sources, next(threads)), searches)


def memory():
    """Asked again in the same conversation, an agent that remembers searches and answers again."""
    change()
    searches.clear()
    thread = next(threads)
    answers = [snippet.run(QUESTION, sources(), thread) for _ in range(3)]
    assert len(set(answers)) == 3 and len(searches) == 3, (answers, searches)


def stream():
    change()

    def run():
        pieces = snippet.agent.stream(
            {"messages": [("user", QUESTION)]},
            config={"configurable": {"thread_id": next(threads)}},
            context={"question": QUESTION, "sources": sources()},
            stream_mode="messages",
        )
        return "".join(piece.text for piece, where in pieces if where["langgraph_node"] == "model")

    assert run() == run() != ""


main([agent, memory, stream])
