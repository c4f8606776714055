"""What stands on `stylize`."""
