"""Model files in the programs that people have already: LM Studio and Ollama.

lmstudio      LM Studio's folders and preset
installed     our files in LM Studio's folders: whole or not there, and only ours removed
manifest      the list of our files there
ollama        Modelfiles
ollama_store  Ollama's own files, found by name
"""
