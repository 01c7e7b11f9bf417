"""PostgreSQL backups that prove themselves: the Python that runs on a backup host."""

__version__ = "0.1.0"
