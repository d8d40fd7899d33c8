"""Drawing a reply's next token.

`chooser`: one reply's parameters, generator and context, and the way from its logits to a token.
`breakers`: the tokens of a vocabulary at which a repetition ends.
"""
