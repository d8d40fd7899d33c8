"""IRC logs → training conversations, as Relay knows them.

logs/              a log file → lines that say what happened
people, bios, masks
                   who is the model; who people are; nicks made up
turns, secrets     what of it becomes the context's lines; what must not
segments           lines → conversations, as long as a model reads
conversation       the messages of a conversation
tokens             their number of tokens
build              the whole way
output, tally      files; what was counted
axolotl            a recipe for training on them
"""
