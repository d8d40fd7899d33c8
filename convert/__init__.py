"""Base + QLoRA adapter → merged → every quantization, without torch and in bounded memory.

Imported as `relay_gguf.convert`. Data flows one way: base + adapter + tokenizer → plan → row slabs
in float32 → encoders → files → proof. README's tree says what each file is.
"""
