"""The commands that measure what models do.

safety     safety: its options
given      the questions, models and judges that its options name
advance    how far a measurement is, on stderr
"""
