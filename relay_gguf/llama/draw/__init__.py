"""Drawing a reply's next token, quickly: the same token as `sampling` alone would draw.

`chooser`: one reply's parameters, generator and context, and the quick way from its logits to a
token. `breakers`: the tokens of a vocabulary at which a repetition ends.
"""
