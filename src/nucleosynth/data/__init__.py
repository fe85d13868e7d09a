"""Where tiles come from: readers, tiling, splits, stain, phantom tissue, and the TileSet they end in."""
