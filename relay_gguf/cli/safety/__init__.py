"""`relay-gguf safety`: what models and their files refuse.

safety     safety: its options
given      the questions, models and judges that its options name
advance    how far a measurement is, on stderr
"""
