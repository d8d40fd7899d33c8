"""What a secret looks like, one file a kind.

passwords   commands, addresses and command lines with a password, and names with a value
prose       a password in a sentence, in a few languages
ordinary    words that are no password in a sentence
credentials keys of services, webhooks, long random words
detectors   the keys that detect-secrets knows
accounts    card and account numbers
identities  numbers that a state gives to people
phones      phone numbers, as countries write them
addresses   addresses of machines and of mail
"""
