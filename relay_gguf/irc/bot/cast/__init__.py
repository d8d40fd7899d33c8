"""The model's people on the network: who they are, in which channels, and how clients change that.

cast_list    who is in which channel, on disk
cast_order   CAST bob I'm a pirate, as a person
castings     CAST, INVITE and KICK, done on the network and in the scene
"""
