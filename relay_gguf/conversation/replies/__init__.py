"""A reply while it is written.

reply_text  its tokens, and the text that they make
unlike      keeping it from being one that is known already
loop_guard  noticing that it goes round in circles
"""
