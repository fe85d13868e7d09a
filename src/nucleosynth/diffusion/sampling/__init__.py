"""How tiles are drawn: samplers, guidance, and the sampling plan."""
