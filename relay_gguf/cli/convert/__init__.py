"""The commands that make and publish model files.

convert    convert
imatrix    imatrix
publish    inspect, card, upload
presets    presets, and the sizes of their files
template   template
screen     progress and results, for a terminal, a pipe or a program
text       a plan and its result, in lines
"""
