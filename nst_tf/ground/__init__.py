"""What everything may import: starting TensorFlow, files written whole, checks, the bounded download."""

import nst_tf.ground.startup  # noqa: F401  (it notes forks, from the beginning on)
