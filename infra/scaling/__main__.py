"""Print the tables of `docs/scaling.md`."""

from infra.scaling.tables import tables

if __name__ == "__main__":
    print("\n".join(f"{name}\n\n{table}\n" for name, table in tables().items()))
