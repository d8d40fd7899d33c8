"""Does llama.cpp work here? Asked in a child process, since a library can die.

tiny_model    a model made on the spot, and its logits in NumPy
finding       what became of a device, and the verdict on all of them
self_test     the child process, run until every device has answered or died
verdict       the verdict, kept until the libraries, the processor or a driver change
fingerprint   what it is kept for
lines         a verdict in words
bug_report    what a bug report needs

The child's side is `llama.trial`: it evaluates, and may die of it.
"""
