"""Base + QLoRA adapter → merged → every quantization, without torch and in bounded memory.

Imported as `relay_gguf.convert`. A tensor goes through the folders in this order:

read/       safetensors, NF4, adapter → merged rows in float32
vocab/      the tokenizer's files → metadata
quantize/   llama.cpp's encoders and its choice of types
arch/       the name and order of each tensor in GGUF
budget/     a type for each tensor, for a file of a given size
write/      files, planned to the byte, written in one pass, verified

request          what a user asks for
model            its tensors and metadata, opened
origin           where the model comes from, for its files
job              a conversion planned and checked completely before anything is written
run              a job done, with its progress as events
once             a job done by one process alone, as in a cache
output_folder    whether the files have room, and errors in words
report           a report beside each file
metadata         the `general.*` metadata of a file
written_values   what people write into model cards, as values that GGUF can hold
template         the chat template, whose source is relay.jinja
inspect/         what is wrong with a GGUF file, and mending it
publish/         a folder of files for the hub
"""
