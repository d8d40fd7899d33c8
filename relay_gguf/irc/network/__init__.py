"""Users and channels, and which message reaches whom; without a socket of its own.

network    the users and channels of a server, by name
channel    a channel: its members, modes, topic
user       nick, name, host; personas, which are users without a connection
client     a user with a connection: its state, and its outgoing lines
labels     the answer to a command that has a label
message    a message of one or several lines
delivery   a client's message → the clients that see it, and the hooks
limits     sizes, counts and times
host_limits how many connections and wrong passwords a host may have
watches    who is told when a nick comes or goes
whowas     the users that left
rate_limit how many lines a client may send
hooks      hooks, which the server calls, and the actions open to them
jobs       queues of work that clients do not wait for
speaker    these actions: messages, topics, typing, jobs
"""
