"""The commands that clients send, a file for each family.

table         verb → function; dispatch of a line
registration  PASS NICK USER, and the completion of registration; SETNAME PING PONG QUIT
caps          CAP
welcome       001 to 005, MOTD LUSERS VERSION TIME INFO ADMIN
sasl          AUTHENTICATE
joining       JOIN PART KICK INVITE
mode          MODE
topics        TOPIC NAMES
messaging     PRIVMSG NOTICE TAGMSG AWAY
multiline     BATCH
monitor       MONITOR
operators     OPER KILL WALLOPS
queries       WHO WHOIS WHOWAS LIST ISON USERHOST
history       CHATHISTORY, and the history that a join shows
unknown       commands that the server does not know, for the hooks
"""
