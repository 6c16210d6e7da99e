"""Put masks into any Keras model, find them, and take them out again."""
