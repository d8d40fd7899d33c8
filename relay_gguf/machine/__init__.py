"""What this machine has.

devices, cgroup    RAM, cores and GPUs as values; a container's part of them
drivers            GPUs as the system knows them, whether llama.cpp can use them or not
wheels             the llama-cpp-python that could
bandwidth          how fast RAM is read
measurement        the same, kept from when the machine was measured
"""
