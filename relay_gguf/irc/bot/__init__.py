"""The model as an inhabitant of the network.

bot          joins, is spoken to, replies
orders       channel text → what the bot has to do
scene        a channel's conversation
addressing   whether a message is meant for it
runner       one thread that generates
presenter    events of a session → lines of IRC
channel_log  a channel's lines on the disk
"""
