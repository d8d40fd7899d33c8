"""From what the user named to a model in memory.

locate     a path, a repository, an app's name or a quant type → a file on the disk
suggest    the published file that suits this machine
opening    a file → an engine, with its progress
lines      devices, plans and published files, in lines or as JSON
demo       the demo model: what it is made of, and where it is kept
"""
