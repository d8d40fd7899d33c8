"""The engine on llama.cpp: the only folder that infers.

native, log        the library, imported here alone, and what it says
devices            the GPUs that it can use, as ggml lists them
load, vocab        a file → a model and a context that fit; text → ids
trial              the self-test's child process (see `relay_gguf.doctor`)
kv_cache, scenes   what was evaluated already, in the context and in RAM
engine, worker     `LlamaEngine`, and the thread it works on
"""
