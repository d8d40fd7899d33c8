"""Samplers against texts that repeat themselves; both are off by default.

`dry`: a penalty on tokens that would make a repetition longer. `xtc`: now and then the likeliest
tokens are left out.
"""
