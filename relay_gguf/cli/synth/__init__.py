"""`relay-gguf synth` and `relay-gguf synth filter`: conversations out of a base model.

group    the group, whose usual command needs no name
sample   scenes are sampled
sift     scenes are filtered and written as a data set
"""
