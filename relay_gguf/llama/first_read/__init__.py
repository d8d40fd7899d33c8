"""A file that llama.cpp has never read here is read in a child process first, which it may end.

first_read   whether a file may be read in this process; an error where it may not
ask_reader   runs the child process, and tells how it ended
reader       the child's side: what a chat reads of a file, without its weights
kept_reads   the results, kept until the file or llama.cpp changes

A file of which `gguf_file.faults` covers all that llama.cpp reads needs no child process.
"""
