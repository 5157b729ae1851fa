"""What is learned: every model behind one contract, and their fusion."""
