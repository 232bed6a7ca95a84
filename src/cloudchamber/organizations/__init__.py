"""Organizations, and the teams of organizations and of products: people, invitations, API users."""
