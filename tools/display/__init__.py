"""What is shown on a terminal, in a figure and in a spreadsheet."""
