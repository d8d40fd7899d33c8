"""The commands that measure models and their files.

safety     safety: its options
given      the questions, models and judges that its options name
advance    how far a measurement is, on stderr
quality    how far files are from their base
card       what was measured, put into the model card of a folder
reading    how far the reading of a model is, on stderr
"""
