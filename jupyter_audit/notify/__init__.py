"""Findings to people and entries to other systems."""
