"""Native kernels of truly sparse layers: C++ sources and how they are built."""
