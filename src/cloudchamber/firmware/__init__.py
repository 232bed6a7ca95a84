"""Firmware of products: what is kept, what is released to whom, and how it gets to the devices."""
