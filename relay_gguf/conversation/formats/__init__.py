"""The formats of an export: messages with their times in, lines of a file out.

dated         messages with their times, as a log shows them
texts         JSON lines, plain text, Markdown
client_logs   logs of irssi and WeeChat
html          one page that looks as an IRC client does
"""
