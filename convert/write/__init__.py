"""Tensors → files.

layout     the bytes of a file: its header, and the place of each tensor
importance whether an imatrix goes with a model and its files
targets    the type of each tensor, and the files of each file type
sizes      the sizes of files, from a config and tokenizer alone
encode     slabs of rows → encoded rows, of all types at once
output     a file while it is written, under a temporary name
eager      iterators that run in threads, ahead of whoever takes their items
journal    the steps that are done, so that an interrupted run can be resumed
verify     a finished file, read again
"""
