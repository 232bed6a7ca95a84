"""A Photon in listening mode: what it answers (`listening`), what is in the air around it (`air`), its sockets
(`server`)."""
