"""What everything may import: starting TensorFlow, files written whole, checks, the bounded download."""

from nst_tf.ground import startup as startup  # which notes forks from the beginning on
