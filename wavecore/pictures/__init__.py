"""Pictures as plain marks, and the two ways to draw them."""
