"""A type for each tensor, so that a file has the size that is asked for, and least is damaged.

size_target  the size that is asked for: bytes, or bits per weight
candidates   the types that each tensor may have
damage       what each of them would do to the model's output: an error, measured, and a rule
knapsack     one type for each tensor within the size
allocation   all of it: a model and a size → types, and what is predicted
"""
