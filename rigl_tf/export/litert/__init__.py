"""Write LiteRT files (.tflite) with sparse weights, and judge them."""
