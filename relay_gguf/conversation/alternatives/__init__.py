"""Several replies to one turn, of which one stands.

drawing   several messages drawn at once, all different
retrying  what /retry, /prev and /next do
"""
