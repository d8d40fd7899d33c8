"""The engine on llama.cpp: the only folder that infers.

native, log        the library, imported here alone, and what it says
devices            the GPUs that it can use, as ggml lists them
inventory          this machine, as llama.cpp sees it
load, tokenizer    a file → a model and a context that fit; text ↔ ids
vocabulary         text ↔ ids without the model
trial, amx         the self-test's child (see `relay_gguf.doctor`); how to do without AMX
kv_cache           what was evaluated already; snapshots: conversations kept in RAM
engine, thread     `LlamaEngine`, and the thread it works on; pace: how much at once
rpc, rpc_server    devices of other machines; ours lent to them
isolated/          a `LlamaEngine` in a process of its own, which a worker may end
"""
