"""The commands that measure models and their files.

safety     safety: its options
given      the questions, models and judges that its options name
advance    how far a measurement is, on stderr
quality    how far files are from their base
reading    how far the reading of a model is, on stderr
"""
