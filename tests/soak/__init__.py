"""A small case, again and again: backups under writers and DDL, each restored and checked."""
