"""What a reply says, in whatever form a server gives it."""
