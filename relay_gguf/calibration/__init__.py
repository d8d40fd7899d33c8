"""Importance matrices: how much each column of a model's weights counts, measured on a text.

calibration_text  what is read: scenes of IRC and general text of this package, or files; as chunks
unfinished        the sums so far, on the disk, so that a stopped run goes on
imatrix_file      the file, in llama.cpp's form
calibrate         the whole: a model and a text → a file, chunk by chunk; what it has not seen
"""
