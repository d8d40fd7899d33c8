"""The engine on llama.cpp: the only folder that infers.

native, log          the library, imported here alone, and its log
backends             the devices that it can use, as ggml lists them
inventory            this machine, as llama.cpp sees it
load, tokenizer      a file → a model and a context that fit; text ↔ ids
trial, amx           the child process of `relay_gguf.doctor`'s self-test; how to do without AMX
kv_cache, prefill    the evaluated tokens; how a prompt is evaluated
engine, gguf_engine  `LlamaEngine`; what it shares with the isolated and the batch engine
generation           its work, on its thread
thread               the thread that an engine works on
contexts/            conversations kept in RAM and on the disk
rpc                  devices of other machines; our devices lent to them
first_read/          a file is read in a child process first, which llama.cpp may end
batch/               many replies at once: slots, continuous batching
draw/                a reply's next token is drawn, quickly
activations/         what goes into each matrix while a text is read
isolated/            a `LlamaEngine` in a process of its own, which a worker may end
"""
