"""The session above a channel of whole messages: the same over TCP and over datagrams."""
