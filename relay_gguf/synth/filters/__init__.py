"""Which scenes are worth training on: each filter finds one kind of bad scene.

structure        too few lines, or one of the two says too little
repetition       the same lines and words again and again
language         another language, or words that nobody knows
echo             somebody says what was just said
private          secrets and links
assistant_talk   an assistant speaks, not a person
likelihood       the most and the least likely scenes of a run
near_duplicates  a scene that is nearly another one
thresholds       the numbers at which they drop, and which of them are off
sieve            all of them over all scenes, counted
"""
