"""A Lambda executor for LocalStack: each instance of a function is a process of its own.

It serves Lambda's Runtime API to `awslambdaric`, the client that AWS runs too. So the code behaves as on AWS:
it is imported once, and the process is kept for further invocations.
"""
