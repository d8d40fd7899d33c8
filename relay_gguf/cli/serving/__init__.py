"""The command that serves other programs.

serve  `relay-gguf serve`: OpenAI's API
"""
