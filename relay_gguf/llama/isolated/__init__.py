"""An engine in a child process, which may end without ending ours.

engine        the engine, as the rest of the program sees it
process       the child process, and the calls to it
serving       the child's side
vocab_only    text ↔ ids in the parent, without the model
"""
