"""What came of the answers: the register of predictions, the observed response, and the audit."""
