"""Types of tensors, and their bytes.

ftypes     the file types
ggml       llama.cpp's quantization and its choice of types
imatrix    importance matrices
"""
