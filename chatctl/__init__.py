"""chatctl: what operators of Ordinal do from a command line. `docs/chatctl.md` is its page."""
