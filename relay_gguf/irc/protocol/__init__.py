"""The text of IRC: bytes → lines → their parts, and back.

framing    bytes of a socket → lines of bounded length
line       a line: tags, source, verb, parameters
splitting  a long text → several lines
names      nicks and channels: what is allowed, and folding of case
modes      the letters of user and channel modes
numerics   replies with a number
ctcp       replies to CTCP requests: VERSION, PING, TIME, CLIENTINFO
"""
