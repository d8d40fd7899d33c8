"""From a model argument to a model in memory.

locate     a path, a repository, an app's name or a quant type → a file on the disk
suggest    the published file that suits this machine
side_by_side how many conversations are answered at once, and the memory for that
opening    a file → an engine, with its progress
listing    devices, plans and published files, as lines of text or JSON
demo       the demo model: what it is made of, and where it is kept
"""
