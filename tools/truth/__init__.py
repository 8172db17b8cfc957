"""What is true of features and of the text they are active in, and how near a dictionary comes to it."""
