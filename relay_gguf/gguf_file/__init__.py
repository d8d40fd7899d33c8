"""What a GGUF file says of itself, before anything loads it.

header      metadata and tensor infos, read without trust
values      metadata values of the type that is expected
name        the fields of a file name: model, type, shard
gguf_model  a model's file or shards: what chatting and memory depend on

faults          what llama.cpp refuses in a file or ends the process over, and what is covered
key_faults      rules for the keys of its metadata
tensor_faults   the tensors of a Llama
token_faults    its vocabulary
"""
