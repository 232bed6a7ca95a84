"""The HTTP edge in the vendor's shapes: odd encodings, token places and error bodies stop here."""
