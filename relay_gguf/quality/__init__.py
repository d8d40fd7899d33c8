"""Which file is worth its size: how far files are from their base, measured on scenes of IRC.

scenes         what is read: scenes of this package (scenes.jsonl), of a file, or plain text
chunks         a text as chunks of tokens, and which of them the model says
model_file     the files, and whether they are of the same model
probabilities  logits → a base's probabilities in 16 bits; how far another's are from them
base_logits    the file of a base's logits, in llama.cpp's form
workspace      a folder for that file, where it is not to be kept
kept_scores    values of positions on the disk, so that a stopped run goes on
measure        a base read into its file, and files read beside it
figures        values of positions → figures with their errors
comparison     the whole: a base, files, a text → figures by group, files in pairs
replies        the same prompts answered by each file, and where they part
listing_text   a comparison in lines for a person
written        a comparison as JSON, and as a file beside the models
plot           size against divergence, drawn by matplotlib
"""
