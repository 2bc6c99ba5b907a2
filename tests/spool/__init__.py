"""What type checkers say about bizspan: as a user would write it, and what they must refuse."""
