"""Questions whose answers are looked at: from files, from the hub, or a small set of our own.

question        a question as a value
question_file   a file in one of the published forms → questions
published       an argument that names a file, a data set of the hub or `trial` → questions
stratified      some of many questions, of each category its share

trial.csv has questions of our own, for trial runs: harmless ones, and mildly delicate ones.
"""
