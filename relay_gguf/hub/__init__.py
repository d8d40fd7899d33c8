"""The Hugging Face Hub, and its cache on this disk.

repo               a model argument → a repository and the files in it that are meant
dataset_file       the same for a data set, and its file in the cache
environment        the variables that the hub's library reads
api                repositories: their files, uploads
file               one file: its size and checksum, its bytes, its GGUF header
rate               how fast the hub sends
cache, checksum    the shared cache; SHA-256 computed while bytes arrive
download           the missing bytes: resumed, checked, then visible
watcher, progress  who is asked before a download and told how far it is; a bar on stderr
"""
