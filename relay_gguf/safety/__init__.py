"""What a model and its quants refuse, measured: questions → answers → verdicts → figures.

questions/     the questions: from files, the hub, or a small set of our own
chat_template  the template in a model's file, rendered; and a prompt's ids, which nothing can forge
condition      how a model is asked: its system line, who asks, who answers
ledger         the files of a run: a JSON line a row, which a power cut may end anywhere
answering      questions → a model's answers, many at once
judges/        answers → verdicts: by a guard model, or by phrases for refusals
figures/       verdicts → shares with intervals, tests, tables, a picture
expense        how many tokens and how much time a run takes, told before it begins
run_folder     the folder of a run, and what its results belong to
run_setup      what a run is given, what of it is done and what is to do
evaluation     the whole way, which goes on where an earlier run stopped
results        what a run has found, as outcomes and as files

conditions.toml, judges/judges.toml and judges/refusals.toml are what users can add to. The folder
has no harmful question in it, and nothing here prints one.
"""
