"""chatctl: the command line of those who operate Ordinal. `docs/chatctl.md` describes it."""
