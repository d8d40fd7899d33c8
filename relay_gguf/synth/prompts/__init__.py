"""What a base model reads before a scene.

premise       where a scene takes place: channel, topic, bio, crossed from lists of words
head          the lines that a scene begins with, in Relay's words or the author's
examples      scenes that stand before the new one
starters      first lines, out of a file
scene_prompt  the prompt of each numbered scene
"""
