"""An IRC server for one person and a few friends, in asyncio alone, where Relay lives.

server     the socket, and the life of it all
host       where it may listen, and what a client's host is called
commands/  what clients send
bot/       the model as an inhabitant
network/   who is there, and what reaches whom
protocol/  text in, text out, nothing kept

A line goes from `server` through `protocol/framing` and `commands/table` to the file of its
command, which changes the network, answers the client and tells the hooks.
"""
