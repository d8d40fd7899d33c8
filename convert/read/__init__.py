"""Weights and configurations, off the disk or the hub.

arrays       arrays of values and of bytes
config       config.json and other JSON files
weight_file  a file of safetensors: its header, parts of its bytes
checkpoint   safetensors; rows of a tensor in float32
hub_folder   a checkpoint on the hub, read where it is
nf4          4-bit weights of bitsandbytes, back to float32
scaled       8-bit weights with scales, back to float32
transposed   tensors that are stored the other way around
adapter      a LoRA adapter: rank, alpha, new tokens
mlx_adapter  the same as mlx_lm saves it
lora         the product of its two matrices, added to rows
merge        base and adapter → rows
four_bits    signs of training in 4 bits
source       which model and which adapter, and what to merge into
adapter_notes  what a user should know of an adapter
"""
