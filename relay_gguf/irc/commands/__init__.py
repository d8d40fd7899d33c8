"""What clients send, a file for each family of commands.

table         verb → function
registration  PASS NICK USER and the end of it
caps          CAP
welcome       001 to 005, MOTD, LUSERS, VERSION
joining       JOIN PART KICK INVITE
modes         MODE
topics        TOPIC
messaging     PRIVMSG NOTICE TAGMSG
multiline     BATCH
queries       WHO WHOIS NAMES LIST and the like
history       CHATHISTORY
unknown       what there is no command for
"""
