"""The hardware of this machine.

cpu            the processor: its name, its usable cores, whether it has AMX
devices        RAM and GPUs as values
cgroup         the limits of a container
drivers        graphics cards as the system knows them, whether llama.cpp can use them or not
wheels         the build of llama-cpp-python that can use a card
bandwidth      how fast RAM is read, measured
measurement    that bandwidth, kept from one process to the next
listen_address where a server may listen: who reaches an address of this machine
"""
