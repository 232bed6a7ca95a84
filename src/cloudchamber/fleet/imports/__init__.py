"""Imports: devices by the hundred thousand into a product."""
