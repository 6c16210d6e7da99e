"""Files that other programs read: Keras models and compact weights."""
