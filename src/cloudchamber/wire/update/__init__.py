"""Firmware over the air: the files, and both protocols that carry them, each with its two ends."""
