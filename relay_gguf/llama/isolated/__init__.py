"""An engine in a process of its own, which may end without ours.

engine     the engine, as the rest of the program sees it
process    the child, and what is sent to it and back
serving    the child's side
"""
