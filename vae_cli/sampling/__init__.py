"""What a trained model draws, decodes and fills in. Each file makes arrays to compute with and a picture to look at."""
