"""The lens: what is stored, what is taken in, and what comes of bad input."""
