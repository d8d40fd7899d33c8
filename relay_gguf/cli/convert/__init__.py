"""The commands that make and publish model files.

convert    convert, template
publish    inspect, publish
presets    presets, and the sizes of their files
screen     progress and results, for a terminal, a pipe or a program
lines      a plan and what came of it, in lines
"""
