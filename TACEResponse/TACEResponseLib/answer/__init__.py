"""The trained model and what it says of one patient: probability, similarity, certainty, explanation."""
