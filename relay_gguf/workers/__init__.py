"""Other machines whose devices a model may use: llama.cpp's RPC servers.

address            HOST[:PORT], and who can reach it
protocol           what a worker says of itself, asked by plain sockets
gpus               workers as devices, for the planner
lending, serving   this machine lent to others: the process that serves, the one that watches it
cache              tensors that a worker keeps
command            `relay-gguf worker`

Nothing here but `serving` loads llama.cpp.
"""
