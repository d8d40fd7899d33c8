"""A folder of files for the hub.

folder     the files that belong in it: README.md, SHA256SUMS, LM Studio's preset
modelcard  README.md
upload     sending it
"""
