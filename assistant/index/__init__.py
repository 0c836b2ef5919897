"""The index of the user's repository: where text like that before the cursor stands already."""
