"""The report of a study: pages, figures, tables and cards, from its record alone."""
