"""Base + QLoRA adapter → merged weights, without torch and in bounded memory.

Imported as `relay_gguf.convert`. Data flows one way: base + adapter → row slabs in float32.
"""
