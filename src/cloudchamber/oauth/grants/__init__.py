"""One file for each grant. A grant gets the authenticated client and the form, and gives back whom the token is for;
parameters that it does not know are ignored (RFC 6749 3.2)."""
