"""The numeric replies: RFC 1459 section 6 and modern.ircdocs, Numerics.

Errors have their usual text here; the text of the other replies depends on the command.
"""

from __future__ import annotations

from typing import Final

RPL_WELCOME: Final = "001"
RPL_YOURHOST: Final = "002"
RPL_CREATED: Final = "003"
RPL_MYINFO: Final = "004"
RPL_ISUPPORT: Final = "005"
RPL_UMODEIS: Final = "221"
RPL_LUSERCLIENT: Final = "251"
RPL_LUSEROP: Final = "252"
RPL_LUSERUNKNOWN: Final = "253"
RPL_LUSERCHANNELS: Final = "254"
RPL_LUSERME: Final = "255"
RPL_LOCALUSERS: Final = "265"
RPL_GLOBALUSERS: Final = "266"
RPL_AWAY: Final = "301"
RPL_USERHOST: Final = "302"
RPL_ISON: Final = "303"
RPL_UNAWAY: Final = "305"
RPL_NOWAWAY: Final = "306"
RPL_WHOISOPERATOR: Final = "313"
RPL_WHOWASUSER: Final = "314"
RPL_WHOISUSER: Final = "311"
RPL_WHOISSERVER: Final = "312"
RPL_ENDOFWHO: Final = "315"
RPL_WHOISIDLE: Final = "317"
RPL_ENDOFWHOIS: Final = "318"
RPL_WHOISCHANNELS: Final = "319"
RPL_WHOISSPECIAL: Final = "320"
RPL_LISTSTART: Final = "321"
RPL_LIST: Final = "322"
RPL_LISTEND: Final = "323"
RPL_CHANNELMODEIS: Final = "324"
RPL_CREATIONTIME: Final = "329"
RPL_NOTOPIC: Final = "331"
RPL_TOPIC: Final = "332"
RPL_TOPICWHOTIME: Final = "333"
RPL_WHOISBOT: Final = "335"
RPL_INVITING: Final = "341"
RPL_VERSION: Final = "351"
RPL_WHOREPLY: Final = "352"
RPL_NAMREPLY: Final = "353"
RPL_ENDOFNAMES: Final = "366"
RPL_BANLIST: Final = "367"
RPL_ENDOFBANLIST: Final = "368"
RPL_ENDOFWHOWAS: Final = "369"
RPL_INFO: Final = "371"
RPL_MOTD: Final = "372"
RPL_ENDOFINFO: Final = "374"
RPL_MOTDSTART: Final = "375"
RPL_ENDOFMOTD: Final = "376"
RPL_YOUREOPER: Final = "381"
RPL_TIME: Final = "391"

ERR_UNKNOWNERROR: Final = "400"
ERR_NOSUCHNICK: Final = "401"
ERR_NOSUCHSERVER: Final = "402"
ERR_NOSUCHCHANNEL: Final = "403"
ERR_CANNOTSENDTOCHAN: Final = "404"
ERR_TOOMANYCHANNELS: Final = "405"
ERR_WASNOSUCHNICK: Final = "406"
ERR_TOOMANYTARGETS: Final = "407"
ERR_NOORIGIN: Final = "409"
ERR_INVALIDCAPCMD: Final = "410"
ERR_NORECIPIENT: Final = "411"
ERR_NOTEXTTOSEND: Final = "412"
ERR_INPUTTOOLONG: Final = "417"
ERR_UNKNOWNCOMMAND: Final = "421"
ERR_NOMOTD: Final = "422"
ERR_NOADMININFO: Final = "423"
ERR_NONICKNAMEGIVEN: Final = "431"
ERR_ERRONEUSNICKNAME: Final = "432"
ERR_NICKNAMEINUSE: Final = "433"
ERR_USERNOTINCHANNEL: Final = "441"
ERR_NOTONCHANNEL: Final = "442"
ERR_USERONCHANNEL: Final = "443"
ERR_NOTREGISTERED: Final = "451"
ERR_NEEDMOREPARAMS: Final = "461"
ERR_ALREADYREGISTERED: Final = "462"
ERR_PASSWDMISMATCH: Final = "464"
ERR_CHANNELISFULL: Final = "471"
ERR_UNKNOWNMODE: Final = "472"
ERR_INVITEONLYCHAN: Final = "473"
ERR_BANNEDFROMCHAN: Final = "474"
ERR_BADCHANNELKEY: Final = "475"
ERR_BANLISTFULL: Final = "478"
ERR_CHANOPRIVSNEEDED: Final = "482"
ERR_NOPRIVILEGES: Final = "481"
ERR_CANTKILLSERVER: Final = "483"
ERR_NOOPERHOST: Final = "491"
ERR_UMODEUNKNOWNFLAG: Final = "501"
ERR_USERSDONTMATCH: Final = "502"

# IRCv3 monitor and sasl-3.2
RPL_MONONLINE: Final = "730"
RPL_MONOFFLINE: Final = "731"
RPL_MONLIST: Final = "732"
RPL_ENDOFMONLIST: Final = "733"
ERR_MONLISTFULL: Final = "734"
RPL_LOGGEDIN: Final = "900"
RPL_SASLSUCCESS: Final = "903"
ERR_SASLFAIL: Final = "904"
ERR_SASLTOOLONG: Final = "905"
ERR_SASLABORTED: Final = "906"
ERR_SASLALREADY: Final = "907"
RPL_SASLMECHS: Final = "908"

ERROR_TEXTS: Final = {
    ERR_UNKNOWNERROR: "Something went wrong here; the server goes on",
    ERR_NOSUCHNICK: "No such nick",
    ERR_NOSUCHSERVER: "No such server",
    ERR_NOSUCHCHANNEL: "No such channel",
    ERR_CANNOTSENDTOCHAN: "Cannot send to channel",
    ERR_TOOMANYCHANNELS: "You have joined too many channels",
    ERR_WASNOSUCHNICK: "There was no such nick",
    ERR_TOOMANYTARGETS: "Too many targets",
    ERR_NOORIGIN: "No origin given",
    ERR_INVALIDCAPCMD: "Invalid CAP command",
    ERR_NORECIPIENT: "No recipient given",
    ERR_NOTEXTTOSEND: "No text to send",
    ERR_INPUTTOOLONG: "Input line was too long",
    ERR_UNKNOWNCOMMAND: "Unknown command",
    ERR_NOMOTD: "There is no message of the day",
    ERR_NOADMININFO: "No administrative info available",
    ERR_NONICKNAMEGIVEN: "No nickname given",
    ERR_ERRONEUSNICKNAME: "Erroneous nickname",
    ERR_NICKNAMEINUSE: "Nickname is already in use",
    ERR_USERNOTINCHANNEL: "They aren't on that channel",
    ERR_NOTONCHANNEL: "You're not on that channel",
    ERR_USERONCHANNEL: "is already on channel",
    ERR_NOTREGISTERED: "You have not registered",
    ERR_NEEDMOREPARAMS: "Not enough parameters",
    ERR_ALREADYREGISTERED: "You may not reregister",
    ERR_PASSWDMISMATCH: "Password incorrect",
    ERR_CHANNELISFULL: "Cannot join channel (+l)",
    ERR_UNKNOWNMODE: "is unknown mode char to me",
    ERR_INVITEONLYCHAN: "Cannot join channel (+i)",
    ERR_BANNEDFROMCHAN: "Cannot join channel (+b)",
    ERR_BADCHANNELKEY: "Cannot join channel (+k)",
    ERR_BANLISTFULL: "Channel ban list is full",
    ERR_CHANOPRIVSNEEDED: "You're not channel operator",
    ERR_NOPRIVILEGES: "Permission denied: you're not an IRC operator",
    ERR_CANTKILLSERVER: "You can't kill a server",
    ERR_NOOPERHOST: "This server has no operators: --oper-password",
    ERR_UMODEUNKNOWNFLAG: "Unknown MODE flag",
    ERR_USERSDONTMATCH: "Cannot change mode for other users",
    ERR_MONLISTFULL: "Monitor list is full",
    ERR_SASLFAIL: "SASL authentication failed",
    ERR_SASLTOOLONG: "SASL message too long",
    ERR_SASLABORTED: "SASL authentication aborted",
    ERR_SASLALREADY: "You have already authenticated using SASL",
}
