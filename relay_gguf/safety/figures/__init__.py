"""Verdicts → figures: shares with intervals, tests, tables, a picture.

proportion     a share of answers, its interval; tests of paired answers, agreement of judges
outcome        what became of a question: its answer and all verdicts on it, as one value
measures       the three numbers, by judge, file, category; pairs of files; agreement
author_count   the count of danlou/relay's own script
study          all that a report tells of: files, judges, questions
safety_report  the report in Markdown, the table in CSV, the section for a model card
bars           the picture, in SVG
"""
