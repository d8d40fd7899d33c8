"""`relay-gguf quality`, and `convert --quality`: how far files are from their base.

quality    quality: its options
card       what was measured, put into the model card of a folder
reading    how far the reading of a model is, on stderr
"""
