"""What devices tell of themselves beyond their application: vitals, and where they are."""
