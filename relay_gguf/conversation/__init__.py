"""A conversation, free of any front end: a typed line in, events out, saved as it goes.

messages           what each IRC command writes into the context, to the letter
commands           the table of commands, and what a typed line means
prompt             messages → token ids; which turns stay when the context is full
session, actions   what a line does; what each command does
events, wording    what happens in a channel, as values; as lines for people
transcript         the conversation as a value
records, store     as JSON lines; in files that are appended to, never overwritten
export             a scene as jsonl, txt, md, or a log of irssi or WeeChat
"""
