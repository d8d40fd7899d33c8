"""A conversation, free of any front end: a typed line in, events out, saved as it goes.

session            what a front end calls; errors become events
commands           the table of commands, and what a typed line means
actions            what each command does; `local_actions` those that the model does not see
alternatives/      several replies to one turn: drawn at once, and chosen from
dialogue           what commands are made of: the transcript, its file and the generator
transcript         the conversation as a value
records, store     as JSON lines; in files that are appended to, never overwritten
session_files      the files of a folder: names, titles, opening and removing one
generator          messages in, the events of the next message out
replies/           a reply while it is written
prompt             messages → token ids; which turns stay when the context is full
messages           what each IRC command writes into the context, to the letter
events, wording    what happens in a channel, as values; as lines for people
company/           several people of the model in one conversation
cards/             character cards: files, and what of them is cast
export             scenes as a file; formats/: jsonl, txt, md, html, logs of irssi and WeeChat
"""
