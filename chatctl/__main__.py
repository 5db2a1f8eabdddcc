"""`python -m chatctl`."""

from chatctl.main import cli

cli(prog_name="chatctl")
