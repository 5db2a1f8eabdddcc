"""What operators do with the stores and the queues: measure, compare, repair, rebuild.

No request runs this code. It prints nothing, reads no file and no environment, and gets its connections
from the caller, so that a command line and a function can both run it. Progress is a callback.
"""
