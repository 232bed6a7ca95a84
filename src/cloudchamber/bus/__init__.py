"""How the parts of a cloud tell each other that something changed."""
