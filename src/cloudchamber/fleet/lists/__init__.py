"""Lists of a product's devices: filtered, sorted, in pages, and as fast for a hundred thousand devices as for ten."""
