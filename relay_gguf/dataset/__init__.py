"""IRC logs → training conversations, as Relay knows them.

    decode, formats                       bytes → text; which client wrote it
    irssi, weechat, hexchat, energymech   their lines; codes: colours; clock: when
    line, events                          what a line says; the sentences of joins, topics and so on
    people, bios, masks                   who is the model; who people are; nicks made up
    turns, secrets                        what of it becomes the context's lines; what must not
    scenes, conversation, tokens          cut into conversations, as long as a model reads
    build, output, tally                  the whole way; files; what was counted
    command, axolotl                      `relay-gguf dataset` and `recipe`

Data flows one way: bytes → text → lines → turns without secrets → conversations → a file.
"""
