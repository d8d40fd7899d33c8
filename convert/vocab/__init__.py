"""tokenizer.json or tokenizer.model → the `tokenizer.*` metadata of a GGUF file.

hf_tokenizer     which of the two files, the special tokens, and the metadata
bpe              byte-level BPE
sentencepiece    SentencePiece
tokens           text, type and score of each id
chat_templates   the templates of chats, one or several
probes           texts that must be tokenized alike
pretokenizers    which of llama.cpp's pre-tokenizers a tokenizer has
"""
