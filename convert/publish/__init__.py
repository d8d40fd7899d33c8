"""A folder of files for the hub.

folder     the files that belong in it: README.md, SHA256SUMS, LM Studio's preset
modelcard  README.md
safety_section  its section on safety, which `relay-gguf safety` wrote
which_one  README.md's table of which file suits whom
upload     sending it
"""
