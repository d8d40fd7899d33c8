"""Recipes that train a base as Relay was trained, on a data set of ours.

base_tokenizer   which of ChatML's tokens a base has
data_form        the form of a data set: messages, or ShareGPT's
axolotl          a configuration for axolotl
peft_script      a script for torch, peft and bitsandbytes, with train_peft.txt as its body
trainers         the recipe for either
"""
