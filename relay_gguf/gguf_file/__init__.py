"""What a GGUF file says of itself, before anything loads it.

header      metadata and tensor infos, read without trust
values      metadata values of the type that is expected
name        the fields of a file name: model, type, shard
gguf_model  a model's file or shards: what chatting and memory depend on
"""
