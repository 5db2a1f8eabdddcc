"""Requests with foreign credentials to every route. The isolation tests use them."""
