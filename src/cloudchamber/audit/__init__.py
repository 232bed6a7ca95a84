"""Who did what to accounts, rights and things, and who was refused: a log whose lines hold each other in place."""
