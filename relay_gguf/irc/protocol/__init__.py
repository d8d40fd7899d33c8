"""The text of IRC: bytes → lines → their parts, and back.

framing    bytes of a socket → lines of bounded length
line       a line: tags, source, verb, parameters
splitting  a long text → several lines
names      nicks and channels: what is allowed, and folding of case
numerics   replies with a number
ctcp       ACTION, VERSION and the like
"""
