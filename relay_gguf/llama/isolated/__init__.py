"""An engine in a child process, which may end without ending ours.

engine        the engine, as the rest of the program sees it
process       the child process, and the calls to it
serving       the child's side
rpc_server    the process of a worker, which serves our devices
vocab_only    text ↔ ids in the parent, without the model
"""
