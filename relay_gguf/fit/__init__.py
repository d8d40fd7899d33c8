"""What a model needs, and which of the published ones a machine can run: arithmetic.

memory             what a model takes, by its parts
placement, plan    which part is on which device; so that it fits
speed, traffic     tokens a second, about; bytes between machines
catalogue, choose  Relay's published files; the best of them for a machine
"""
