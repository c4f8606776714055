"""What an artist sets beside the recipe: several styles, masks and colors, and the scene they make."""
