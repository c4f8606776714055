"""What everything may import: starting TensorFlow, files written whole, checks, the bounded download."""
