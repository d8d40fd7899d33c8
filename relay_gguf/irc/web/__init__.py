"""The door for browsers: a page, and IRC in WebSockets, at the port of the IRC server.

knock      an HTTP request at the port: the page, a refusal, or a WebSocket
websocket  lines of IRC in the frames of a WebSocket, as IRCv3 has it
website    the files of the page, as answers to requests
page/      these files: HTML, CSS and JavaScript as it was written, without a build

`knock` and `websocket` need the extra `web`, the package websockets; nothing else imports it.
"""
