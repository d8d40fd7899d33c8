"""Conversations whose KV cache is kept, so that going on with one reads only what is new.

snapshots         in RAM, for conversations that made room for another
context_folder    on the disk, for sessions that go on later
context_file      the format of a file there
identity          which model, build and layout a file belongs to
"""
