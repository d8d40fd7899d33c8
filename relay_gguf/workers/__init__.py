"""Other machines whose devices a model may use: llama.cpp's RPC servers.

address         HOST[:PORT], and who can reach it
protocol        a worker's version, devices and free memory, asked by plain sockets
gpus            workers as devices, for the planner
lending         this machine lent to others: starts and watches `rpc_server`, which serves
tensor_cache    tensors that a worker keeps on disk
"""
