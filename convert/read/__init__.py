"""Weights and configurations, off the disk.

config      config.json
checkpoint  safetensors, mapped; rows of a tensor
nf4         4-bit weights of bitsandbytes, back to floats
adapter     a LoRA, its rank, alpha and new tokens
merge       base and adapter → rows
source      which model, which adapter, which tokenizer
"""
