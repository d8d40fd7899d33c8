"""Scenes as they were sampled, on the disk.

raw_scene  a finished scene: a JSON line each
raw_file   the file of finished scenes: appended, synced, gone on with
run_file   the run beside it: model and options, which may not change
"""
