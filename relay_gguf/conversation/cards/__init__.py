"""Character cards, as SillyTavern and other role-play programs keep them.

card          a character as a value: its bio and its topic
card_file     PNG and JSON files, V1, V2 and V3
png_text      the texts in a PNG image
casting       what /cast does with a card
sillytavern   templates that let SillyTavern and KoboldCpp make Relay's prompt of a card
"""
