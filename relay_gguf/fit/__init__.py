"""How a model fits into a machine, and which of the published files suits it: arithmetic only.

memory       bytes that a model takes: weights, KV cache, compute buffer
placement    which part of a model is on which device, for given settings
plan         the settings that fit
speed        tokens a second, estimated
traffic      bytes that travel between machines
catalogue    Relay's published files
choose       the best of them for a machine
"""
