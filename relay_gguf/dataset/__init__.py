"""IRC logs → training conversations, as Relay knows them.

Data flows one way: the bytes of a log → text (`decode`) → lines (`irssi`, `weechat`, `hexchat`,
`energymech`) → turns without secrets (`turns`) → conversations (`scenes`) → a file (`output`).
"""
