"""The parts of `RelayLM`.

declared_scene  a context, under the words of the original's declarative API
speaking        a scene in which a model speaks
awaiting        replies for asyncio
said_texts      the texts that come of a reply's events
"""
