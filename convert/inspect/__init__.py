"""What is wrong with a GGUF file for chatting, and mending it.

finding       what may be wrong
inspection    a file → findings
token_checks  those of its tokens
rewrite       a file with another template or metadata
lines         findings in lines
"""
