"""Types of tensors and of files, and the encoders.

ftypes     the file types, and the types of tensors
overrides  types of tensors that a user wants in place of llama.cpp's choice
ggml       llama.cpp's encoders
mixture    llama.cpp's choice of a type for each tensor
imatrix    importance matrices
"""
