"""A conversation in a terminal, a pipe or the program llm.

terminal           a chat on a screen
readahead          what stands in the input line, read while it is typed
backlog            typed lines that wait, and the thread that answers them
feed               what that thread tells, on its way to the screen
painter            events as rows of text
scrollback         rows printed above the input line
statusbar          what frames the input line
inputline          the input line: keys, completion, history
offered            drafts, and lines that are taken back
menus              saved sessions and replies to choose from, in place of the input line
plain              a chat in a pipe: lines or JSON
interrupt          Ctrl-C in a pipe; signals that end a chat
suspend            Ctrl-Z; signals that stop and continue it
recording          a saved chat, typed once more
llm_plugin         a chat in simonw's llm
"""
