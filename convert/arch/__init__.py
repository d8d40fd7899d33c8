"""Names, shapes and order of a Llama's tensors in GGUF.

llama      hyperparameters, and where each tensor goes
weights    tensors and their rows
gguf_base  the same of a base that is a GGUF file
"""
