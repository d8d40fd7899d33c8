"""Base + QLoRA adapter → merged → every quantization, without torch and in bounded memory.

Imported as `relay_gguf.convert`. A tensor goes through the folders in this order:

read/       safetensors, NF4, adapter → merged rows in float32
vocab/      the tokenizer's files → metadata
arch/       where each tensor goes in GGUF
quantize/   llama.cpp's encoders and its choice of types
write/      files, planned to the byte, written in one pass, read again

job         a request, checked completely before anything is written
model       its tensors and metadata
run         a job done, with its progress as events
report      what was done, beside each file
metadata    what a file says of its model
template    the chat template
demo        makes the demo model
inspect/    what is wrong with a GGUF file, and mending it
publish/    a folder of files for the hub
"""
