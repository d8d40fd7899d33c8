"""Menus, which take the place of the input line until something is chosen.

menus         which menu is open, and the line that a choice in it stands for
session_menu  saved sessions
reply_menu    replies that are drawn at once, as they are written
overlay       a menu's layout; taking the place of the input line, and giving it back
"""
