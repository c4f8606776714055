"""The pretrained networks: VGG19, VGG16 and the slim network, their weights, and where these come from."""
