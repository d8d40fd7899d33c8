"""Answers → verdicts.

judgement     what a judge says of an answer, as a value
judge_form    how a guard model is asked, and how its words are read: tables of judges.toml
judging       a guard model and many answers → verdicts
phrases       refusals by their wording, without a model: the lists of refusals.toml
off_question  answers that have none of the words of their question
"""
