"""A log file of an IRC client → lines.

decode                                the bytes of a file → text
formats                               which client has written a file
irssi weechat hexchat energymech      a reader each
codes                                 formatting codes, removed
clock                                 times of day → moments
log_line                              a line of a log: its kind, nick, text and time
sentences                             joins, parts and topics in the words of the clients
"""
