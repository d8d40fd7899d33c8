"""Other machines whose devices a model may use: llama.cpp's RPC servers.

address            HOST[:PORT], and who can reach it
protocol           what a worker says of itself, asked by plain sockets
gpus               workers as devices, for the planner
lending            this machine lent to others: watches `llama.rpc_server`, which serves
tensor_cache       tensors that a worker keeps
"""
