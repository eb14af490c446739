"""`jupyter audit …`: one module for each group of commands."""
