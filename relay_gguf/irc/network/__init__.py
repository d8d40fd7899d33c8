"""Who is there, and what reaches whom; without a socket.

network    clients, channels, residents by name
channel    its members, modes, topic
user       nick, name, host
client     a connection's state, and its outgoing lines
message    a message of one or several lines
delivery   a message → the clients that see it
limits     how many and how long
rate_limit how often
hooks      what a resident may do on the server, and is told
jobs       work that a client waits for
speaker    a resident's own lines
"""
