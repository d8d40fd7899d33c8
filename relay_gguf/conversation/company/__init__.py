"""Several people of the model in one channel, in one conversation and one session file.

person       who they are: a nick and a bio
view         the channel as each of them reads it, in Relay's three roles
turn_taking  whom a line speaks to, and whose turn it is
voices       a generator for each of them, behind the one that a dialogue has
ensemble     a dialogue in which they answer, and talk with each other within limits
gathering    a session in which they go on by themselves after a typed line
"""
