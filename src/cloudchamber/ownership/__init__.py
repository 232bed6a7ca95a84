"""Whose device it is: claim codes, claiming, unclaiming."""
