"""The Hugging Face Hub, and its cache on this disk.

repo               what a model argument asks of a repository
api, file          what is there and is put there; a file's bytes from anywhere on
rate               how fast they come
cache, checksum    the shared cache; SHA-256 while bytes come
download, watcher  the missing bytes: resumed, checked, then visible; who is asked and told
progress           a bar, and a question before the download
"""
