"""What goes into each matrix of a model while it reads a text: sums of its squares.

ggml_tensor        a tensor of llama.cpp's graph, read in place
collector          called by llama.cpp at each matrix product: the sums
activation_reader  a model in memory that reads chunks of tokens for that
"""
