"""The recipes that others published, with their constants, and what explains and converts them."""
