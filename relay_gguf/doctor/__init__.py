"""The self-test: does llama.cpp work on this machine? Asked in a child process, which may die.

tiny_model    a model made on the spot, and its logits computed in NumPy
result        the result of one device, and the verdict on all of them
self_test     runs the child process until every device has answered or died
verdict       the verdict, kept until the libraries, the processor or a driver change
fingerprint   the hash of these, under which a verdict is kept
advice        a verdict in words, and what to do about it
bug_report    versions, devices and flags for a bug report

The child's side is `relay_gguf.llama.trial`: it evaluates the tiny model on each device.
"""
