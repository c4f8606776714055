"""Picture files: reading all that Pillow can misread, fetching addresses, writing whole, settings inside PNGs."""
