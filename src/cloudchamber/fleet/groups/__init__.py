"""Groups of a product's devices."""
