"""What a GGUF file says of itself, before anything loads it.

header     metadata and tensor infos, read without trust
name       what a file's name says: type, part, size
facts      what chatting and memory depend on, out of a header
"""
