"""Print the tables of `docs/scaling.md`."""

from docs.cost_model.tables import tables

if __name__ == "__main__":
    print("\n".join(f"{name}\n\n{table}\n" for name, table in tables().items()))
