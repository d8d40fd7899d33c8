"""Weights and configurations, off the disk.

arrays       arrays of values and of bytes
config       config.json and other JSON files
checkpoint   safetensors; rows of a tensor in float32
nf4          4-bit weights of bitsandbytes, back to float32
scaled       8-bit weights with scales, back to float32
transposed   tensors that are stored the other way around
adapter      a LoRA adapter: rank, alpha, new tokens
mlx_adapter  the same as mlx_lm saves it
lora         the product of its two matrices, added to rows
merge        base and adapter → rows
source       which model and which adapter, and what to merge into
"""
