"""Model files in the programs that people have already: LM Studio and Ollama.

lmstudio, ollama   folders and preset of the one, Modelfiles of the other
installed          our files in LM Studio's folders: whole or not, only ours removed
ollama_store       Ollama's own files, found by name
"""
