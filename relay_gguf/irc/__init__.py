"""An IRC server for one person and a few friends, in asyncio alone, where the model is a bot.

server     the socket, the connections and their timeouts
connection one connection: its first bytes decide whether IRC or HTTP is spoken
lifetime   a server that runs until Ctrl-C or SIGTERM
file_limit how many files may be open, and so how many clients there may be
tls        the certificate of encrypted connections
host       whether a server can listen, and which host of a client is shown
web/       the door for browsers: a page, and IRC in WebSockets
commands/  the commands that clients send
bot/       the model: a bot in every channel
network/   users, channels, and which message reaches whom
protocol/  text in, text out, no state

A line goes from `server` through `protocol/framing`, `protocol/line` and `commands/table` to the
function of its command, which changes the network, answers the client and calls the hooks. The bot
is hooks: `network/hooks` leads to `bot/`, and from there to a `conversation.session.Session`.

A browser's request goes from `server` to `web/knock`, which sends the page or makes a WebSocket of
it, whose messages are lines like others.

server stands over commands/ and web/, commands/ over network/, and all over protocol/. bot/ stands
over network/ too, and imports neither the server nor commands/.
"""
