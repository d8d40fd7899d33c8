"""`relay-gguf chat`: a conversation in a terminal or a pipe.

command            a model, a session and a front end put together
terminal           the one file that draws; inputline: its keys
plain              lines or JSON
interrupt          Ctrl-C while the model writes
"""
