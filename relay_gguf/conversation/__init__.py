"""A conversation, free of any front end: a typed line in, events out, saved as it goes.

session, actions   what a line does; what each command does
events             what happens in a channel, as values
transcript         the conversation as a value
records, store     as JSON lines; in files that are appended to, never overwritten
export             a scene as jsonl, txt, md, or a log of irssi or WeeChat
"""
