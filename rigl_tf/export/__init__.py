"""Write files for other programs: Keras models and compact weights."""
