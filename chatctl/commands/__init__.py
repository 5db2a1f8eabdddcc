"""The commands of chatctl: options, output and exit codes. `chalicelib.operators` does the work on stores."""
