"""Put masks into any Keras model, find them, and remove them again."""
