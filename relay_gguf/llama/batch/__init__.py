"""Many replies at once: one context of llama.cpp with many sequences, and continuous batching.

continuation  what is asked for: token ids in, tokens out
rows          sampling many rows of logits at once
cells         which tokens are in the cache for which sequence, each evaluated once
schedule      how much of the waiting prompts a step reads beside the running replies
reply         a reply in progress
seating       who gets a slot, and which sequence
slots         `Slots`: step by step, on whatever evaluates
context       llama.cpp as what evaluates
streams       the same with a cache of its own for each sequence
inbox         between the thread that steps and those that ask
batch_engine  `BatchEngine`: a loaded model with a thread that steps, for callers on any thread
widening      several replies at a second context of an engine's model, for a while
chunk_logits  `ChunkLogits`: texts that are only read, for the logits after each token
"""
