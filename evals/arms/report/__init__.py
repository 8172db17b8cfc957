"""What is said of a comparison: its tables and figures, the answers in sentences, and the page that holds them."""
