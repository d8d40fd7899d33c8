"""The Hugging Face Hub, and its cache on this disk.

repo               a model argument → a repository and the files in it that are meant
dataset_file       the same for a data set, and its file in the cache
environment        the variables that the hub's library reads
api                repositories: their files, uploads
file               one file: its size and checksum, its bytes or parts of them, its GGUF header
ranged_file        a file read by parts: retried, and the same to the end
ahead, fetching    parts of files, fetched ahead of their reader
intake             how much of them has come and how fast; waits, and notices of them
rate               how fast the hub sends
cache, checksum    the shared cache; SHA-256 computed while bytes arrive
download           the missing bytes: resumed, checked, then visible
watcher, progress  who is asked before a download and told how far it is; a bar on stderr
"""
