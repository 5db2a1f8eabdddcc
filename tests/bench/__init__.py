"""Each stage of the product against its floor, measured in the same run. `make bench` runs this program."""
