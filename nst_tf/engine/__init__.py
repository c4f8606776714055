"""The machine room: what makes a transfer fast and safe.  Users never import it."""
