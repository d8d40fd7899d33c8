"""A conversation in a terminal or a pipe.

terminal           the one file that draws; inputline: its keys
plain              lines or JSON
interrupt          Ctrl-C while the model writes
"""
