"""Tensors → files.

header     metadata and tensor infos of a file
plan       which tensor becomes which type, in which file and where
sizes      how large files would be
encode     slabs of rows → encoded rows, in all types at once
output     the files, and what they are called until they are whole
journal    what is done, so that an interrupted run goes on
verify     a finished file, read again
"""
