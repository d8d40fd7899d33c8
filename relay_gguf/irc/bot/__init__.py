"""The bot: the model in every channel, each of which is a conversation of its own.

bot          hooks: events, messages and orders → what is done on the stage
stage        the scenes in use: what is done in each, shown in its channel
bot_config   the engine, the files and the options of a bot
orders       channel text, raw command or message to *relay → an order such as retry
order_target which channel or private talk an order is about
addressing   whether a message is answered, and what the model reads of it
pauses       timers: a reply once nobody has spoken for a while
open_scenes  the scenes in use, by channel
departures   who left a channel empty a moment ago
playback     what was said in each channel, for those who come later
secret_channels  which channels LIST leaves out though nobody is in them
scene        a channel's conversation: a `conversation.session.Session`
runner       the threads in which sessions generate
presenter    events of a session → messages in the channel
cast/        several people of the model: who they are, and in which channels
channel_log  a channel's lines in log files on disk
"""
