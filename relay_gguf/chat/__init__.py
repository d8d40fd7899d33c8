"""A conversation in a terminal or a pipe.

terminal           a chat on a screen
inputline          its input line: keys, completion, history
plain              a chat in a pipe: lines or JSON
interrupt          Ctrl-C while the model writes
"""
