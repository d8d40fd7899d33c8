"""IRC logs → training conversations, as Relay knows them.

logs/         a log file → lines that say what happened
people        who is the model, under which nicks
bios          who people are
masks         made-up nicks in the place of real ones
rules/        what a secret looks like
secrets       messages that must be left out
regions       whose phone numbers are known
turns         a line of a log → messages of Relay's context
drafts        a conversation, while it is made and when it is done
token_count   the number of tokens of a message
segments      lines → conversations, as long as a model reads
build         the whole way
jsonl         the files that are written
tally         the counts of a run
recipes/      how a base is trained on them
"""
