"""The commands that serve other programs: `serve`, and the IRC network with its page.

serve   `relay-gguf serve`: its options, and what it prints
network the network of `relay-gguf irc` and `relay-gguf web`: its options
page    the address of the web page, and the browser that opens it
web     `relay-gguf web`: its options, and what it prints
"""
