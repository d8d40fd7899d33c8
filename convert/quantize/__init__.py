"""Types of tensors and of files, and the encoders.

ftypes     the file types
ggml       llama.cpp's encoders, and its choice of a type for each tensor
imatrix    importance matrices
"""
