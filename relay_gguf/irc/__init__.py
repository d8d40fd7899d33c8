"""An IRC server for one person and a few friends, in asyncio alone.

    line, splitting, inbox, names, numerics    the protocol: text in, text out, nothing kept
    limits, flood, address                     what a client may take, and from where
    user, client, channel, network             who is here, and where
    registration, caps, welcome                how a client comes in
    joining, modes, topics, queries, talking   what the commands do; `verbs` has the table of them
    speech, delivery, multiline, history       a message, and its way to each client
    resident, errands, unknown, ctcp, voice    who answers: nobody, unless the caller brings someone
    server                                     the socket, and the life of it all

    model, listening, orders                   Relay lives there: when it answers, what it obeys
    scene, stage, showing, chronicle           a channel as a scene, played, shown, logged
    command                                    `relay-gguf irc`

A line goes from `server` through `inbox` and `verbs` to the file of its command, which changes the
`network`, answers the client and tells the `resident`.
"""
