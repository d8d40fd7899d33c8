"""The command line: what each command is called, its options, what it prints.

app        all commands, and what an error becomes
options    the options that several commands share
choice     a question: which of Relay's files, where none is fast enough
chat, resume, sessions, models, download, irc, apps, sillytavern, dataset, demo, doctor, worker
           a command each, or a few that belong together
serving/   serve: OpenAI's API
synth/     conversations out of a base model, sampled and filtered
convert/   convert, publish, presets and what they print
quality/   quality, and its part of a conversion
safety/    safety and what it prints

Only here is typer imported; each file imports what its commands need when they run.
"""
