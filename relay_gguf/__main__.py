"""`python -m relay_gguf` is `relay-gguf`."""

from .cli import main

main()
