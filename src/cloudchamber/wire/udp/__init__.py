"""Sessions over datagrams: reliability and session behind one surface."""
