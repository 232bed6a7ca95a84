"""Who is asking, and what they may do: the types of requesters and resources, and the one rule that joins them."""
