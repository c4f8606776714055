"""What an artist sets beside the recipe: several styles, masks and colours, and the scene they make."""
