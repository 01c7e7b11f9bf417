"""Tests, one module for each of helpers/."""
