"""How near synthetic tiles are to real ones: features, distances, coverage and real-vs-real references."""
