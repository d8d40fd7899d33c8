"""A log file of an IRC client → lines.

decode                                the bytes of a file → text
formats                               which client has written a file
irssi weechat hexchat energymech      a reader each
codes                                 formatting codes, taken out
clock                                 times of day → moments
line                                  what a line of a log says
sentences                             joins, parts, topics as those clients word them
"""
