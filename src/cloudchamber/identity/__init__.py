"""Users and the customers of products: accounts and their passwords."""
