"""OpenSearch: the index of messages, and the searches in it.

Nothing is imported here: the client costs 0.1 to 0.3 s, which only search functions should pay.
"""
