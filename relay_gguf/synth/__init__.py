"""Conversations out of a base model, which goes on with the raw text of an IRC channel.

irc_text     lines of a channel as raw text, and such lines as messages
words        the words of a text, and how frequent they are
prompts/     what the model reads before a scene
line_start   which tokens may come while a scene is young
stop_rules   where a scene ends, line by line while it is sampled
raw/         scenes as they were sampled, on the disk
sampler      the scenes of a run, many at once
run_options  the options of a run, read and checked
room         how many scenes at once fit into memory
pace         scenes an hour, tokens a second, time left
filters/     which scenes are worth training on
variety      the report: what was kept, how varied it is, scenes to read
made_of      the data card: what the conversations were made of
chosen       filtered scenes as a data set, with its card and report
"""
