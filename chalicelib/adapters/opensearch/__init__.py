"""OpenSearch: the index of messages, and searches in it.

This package imports nothing: loading the client takes 0.1 to 0.3 s, which only functions that search need.
"""
