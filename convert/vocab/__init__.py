"""tokenizer.json and tokenizer.model → the vocabulary's keys.

vocabulary       which of the two, and the special tokens
bpe              byte-level BPE
sentencepiece    SentencePiece
tokens           token types
pretokenizers    which of llama.cpp's a tokenizer has
"""
