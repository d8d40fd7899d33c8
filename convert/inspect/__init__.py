"""What is wrong with a GGUF file for chatting, and mending it.

finding       the result of a check
inspection    the checks of a file
token_checks  the checks of its tokens
read_check    whether llama.cpp reads it, where that is tried
rewrite       other metadata for a file, as another chat template
overview      a file and its findings, in lines or as JSON
"""
