"""MySQL (8.4 and later, or MariaDB 11.4): the record of everything that was persisted."""
