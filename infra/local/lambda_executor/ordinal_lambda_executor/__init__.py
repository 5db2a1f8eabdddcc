"""A Lambda executor for LocalStack: each instance of a function is a process of its own.

It serves Lambda's own Runtime API to `awslambdaric`, the client that real Lambda runs, so the
code cannot tell the difference: it is imported once, then kept for further invocations, frozen
in between only in so far as it has nothing to do.
"""
