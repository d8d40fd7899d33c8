"""Names, shapes and order of a Llama's tensors in GGUF.

llama         hyperparameters, and the name of each tensor
weights       the tensors of the files to be written, and their rows
gguf_base     a base that is a GGUF file, under Hugging Face's names
gguf_adapter  a LoRA that is a GGUF file
"""
