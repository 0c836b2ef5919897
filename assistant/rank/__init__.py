"""Which of the proposed texts is best, and how sure it is."""
