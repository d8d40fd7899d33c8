"""The commands that make and publish model files.

convert      convert
asked        the request that the options of convert make
own_imatrix  an importance matrix that `convert` makes on the way
imatrix      imatrix
publish      inspect, card, upload
presets      presets, and the sizes of their files
template     template
screen       progress and results, for a terminal, a pipe or a program
text         a plan and its result, in lines
"""
